package backend

import (
	"context"
	"testing"
)

func TestChecksumsWanted(t *testing.T) {
	ctx, cancel := context.WithCancel(WithChecksums(context.Background()))
	defer cancel()
	if !ChecksumsWanted(ctx) || ChecksumsWanted(AllowPartial(context.Background())) {
		t.Error("the wish must reach those below, and them alone")
	}
}
