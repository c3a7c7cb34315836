package backend

import "context"

type checksumsKey struct{}

// WithChecksums returns a context under which Store.Stat tells in Object.Checksums what the store keeps, and asks the store
// for it if need be. Without it a Stat may leave them out, because some stores charge for them with rights or requests.
func WithChecksums(ctx context.Context) context.Context {
	return context.WithValue(ctx, checksumsKey{}, true)
}

// ChecksumsWanted reports whether ctx comes from WithChecksums.
func ChecksumsWanted(ctx context.Context) bool {
	return ctx.Value(checksumsKey{}) != nil
}
