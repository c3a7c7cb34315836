package backend

import "context"

type partialKey struct{}

// AllowPartial returns a context under which Store.Stat may answer with an Object that is Partial, if such an answer costs
// less than a whole one. It is for callers who ask whether an object is there, how large it is or which version it is, and
// not for its time or metadata. It is a hint: a Store that knows no partial objects answers as always, and without the
// hint no Stat is ever Partial.
func AllowPartial(ctx context.Context) context.Context {
	return context.WithValue(ctx, partialKey{}, true)
}

// PartialAllowed reports whether ctx carries the hint of AllowPartial.
func PartialAllowed(ctx context.Context) bool {
	return ctx.Value(partialKey{}) != nil
}
