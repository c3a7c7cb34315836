package gcs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/storage"
)

// Protection is what Cloud Storage is asked to do with what is written, besides storing and encrypting it. The zero value leaves all of it
// to the bucket. A file that is held or retained can be neither replaced, renamed nor deleted.
type Protection struct {
	ACL      string // predefined, such as bucketOwnerFullControl; empty: the default of the bucket. Not with uniform access
	LockMode string // unlocked or locked: object retention, for LockDays from the write on
	LockDays int
	Hold     string // temporary or event: until somebody releases it
}

// ACLs are the values of Protection.ACL (JSON API, "Predefined ACLs").
var ACLs = []string{"authenticatedRead", "bucketOwnerFullControl", "bucketOwnerRead", "private", "projectPrivate", "publicRead"}

// retention is how the API writes the values of LockMode.
var retention = map[string]string{"": "", "unlocked": "Unlocked", "locked": "Locked"}

// check says what is wrong with the settings.
func (p Protection) check() error {
	_, mode := retention[p.LockMode]
	switch {
	case p.ACL != "" && !slices.Contains(ACLs, p.ACL):
		return fmt.Errorf("ACL %q: use one of %s", p.ACL, strings.Join(ACLs, ", "))
	case !mode:
		return fmt.Errorf("lock mode %q: use unlocked or locked", p.LockMode)
	case (p.LockMode == "") != (p.LockDays == 0) || p.LockDays < 0:
		return errors.New("a lock mode and a number of days go together: give both or neither")
	case p.Hold != "" && p.Hold != "temporary" && p.Hold != "event":
		return fmt.Errorf("hold %q: use temporary or event", p.Hold)
	}
	return nil
}

// private is where Sluice keeps what is its own. Journals are no records, and must be gone some day.
const private = ".sluice/"

// apply gives the attributes of a new object what is asked for: files alone are held and retained, neither the markers of directories nor
// what is Sluice's own.
func (p Protection) apply(key string, a *storage.ObjectAttrs) {
	a.PredefinedACL = p.ACL
	if strings.HasPrefix(key, private) || strings.HasSuffix(key, "/") {
		return
	}
	a.TemporaryHold, a.EventBasedHold = p.Hold == "temporary", p.Hold == "event"
	if p.LockMode != "" {
		a.Retention = &storage.ObjectRetention{Mode: retention[p.LockMode], RetainUntil: time.Now().UTC().AddDate(0, 0, p.LockDays)}
	}
}
