package backend

import (
	"context"
	"testing"
)

func TestPartialAllowed(t *testing.T) {
	ctx, cancel := context.WithCancel(AllowPartial(context.Background()))
	defer cancel()
	if !PartialAllowed(ctx) || PartialAllowed(context.Background()) {
		t.Error("the hint must reach those below, and them alone")
	}
}
