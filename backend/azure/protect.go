package azure

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
)

// Protection is what the service is asked to do with every file that is written, besides storing and encrypting it. The zero value leaves
// all of it to the container. Immutability and holds take a container with version-level immutability.
type Protection struct {
	LockMode  string // unlocked or locked: an immutability policy, for LockDays from the write on
	LockDays  int
	LegalHold bool
	Tags      map[string]string // index tags of new objects
}

// modes are the values of LockMode.
var modes = map[string]blob.ImmutabilityPolicySetting{
	"": "", "unlocked": blob.ImmutabilityPolicySettingUnlocked, "locked": blob.ImmutabilityPolicySettingLocked,
}

// check says what is wrong with the settings.
func (p Protection) check() error {
	_, mode := modes[p.LockMode]
	switch {
	case !mode:
		return fmt.Errorf("lock mode %q: use unlocked or locked", p.LockMode)
	case (p.LockMode == "") != (p.LockDays == 0) || p.LockDays < 0:
		return errors.New("a lock mode and a number of days go together: give both or neither")
	case len(p.Tags) > 10:
		return fmt.Errorf("%d tags: an object has at most 10", len(p.Tags))
	}
	return nil
}

// locks reports whether an immutability policy or a hold is asked for.
func (p Protection) locks() bool { return p.LockMode != "" || p.LegalHold }

// own is where Sluice keeps what is its own. Journals are no records: they are neither held nor tagged.
const own = ".sluice/"

// lock is the immutability of a new object, for files alone: not for markers of directories.
func (p Protection) lock(key string) (mode *blob.ImmutabilityPolicySetting, until *time.Time, hold *bool) {
	if strings.HasPrefix(key, own) || strings.HasSuffix(key, "/") {
		return nil, nil, nil
	}
	if p.LegalHold {
		hold = to.Ptr(true)
	}
	if p.LockMode == "" {
		return nil, nil, hold
	}
	return to.Ptr(modes[p.LockMode]), to.Ptr(time.Now().UTC().AddDate(0, 0, p.LockDays)), hold
}

// label is the tags of a new object.
func (p Protection) label(key string) map[string]string {
	if strings.HasPrefix(key, own) {
		return nil
	}
	return maps.Clone(p.Tags)
}
