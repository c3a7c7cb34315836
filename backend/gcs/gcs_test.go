package gcs

import (
	"testing"

	"sluice/backend"
	"sluice/backend/storetest"
)

// TestStore runs the whole suite against a server in memory that keeps what the emulator does not.
func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) backend.Store { return newCloud(t).open(Config{PageSize: 3}) }, storetest.Options{Page: 3})
}
