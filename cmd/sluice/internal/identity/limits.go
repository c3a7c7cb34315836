package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"sluice/backend/vfs"
)

// Limits of one user, over all the user's sessions. 0 is no limit. Where FileBytes is set, who may not list can append to, copy
// and join only files that the tree tells the size of.
type Limits struct {
	Sessions       int
	Transfers      int   // uploads, downloads, copies and digests that run at once
	FileBytes      int64 // largest file that may be uploaded, copied or joined
	BytesPerSecond int64 // of all transfers together
	DailyBytes     int64 // both directions, per UTC day; counted in memory, so a restart begins anew
}

// meter counts what one user does.
type meter struct {
	limiter *rate.Limiter

	mu        sync.Mutex
	limits    Limits
	sessions  int
	transfers int
	day       int64 // since 1970
	bytes     int64 // on that day
}

func newMeter() *meter { return &meter{limiter: rate.NewLimiter(rate.Inf, 0)} }

// set replaces the limits, for what runs already too.
func (m *meter) set(l Limits) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limits = l
	if l.BytesPerSecond <= 0 {
		m.limiter.SetLimit(rate.Inf)
		return
	}
	m.limiter.SetBurst(int(max(1<<10, l.BytesPerSecond/8))) // short turns: many transfers share the rate
	m.limiter.SetLimit(rate.Limit(l.BytesPerSecond))
}

func (m *meter) enter() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.limits.Sessions > 0 && m.sessions >= m.limits.Sessions {
		return false
	}
	m.sessions++
	return true
}

func (m *meter) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions--
}

func (m *meter) idle() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sessions == 0
}

// begin admits a transfer; end ends it.
func (m *meter) begin() (Limits, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch l := m.limits; {
	case l.Transfers > 0 && m.transfers >= l.Transfers:
		return l, fmt.Errorf("%d transfers are running: %w", m.transfers, vfs.ErrBusy)
	case l.DailyBytes > 0 && m.today() >= l.DailyBytes:
		return l, fmt.Errorf("%d bytes per day: %w", l.DailyBytes, vfs.ErrQuota)
	default:
		m.transfers++
		return l, nil
	}
}

func (m *meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.transfers--
}

// quota is the bytes of this day and how many there may be; 0: any.
func (m *meter) quota() (used, limit int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.today(), m.limits.DailyBytes
}

// today returns the bytes of this day; m.mu is held.
func (m *meter) today() int64 {
	if day := time.Now().Unix() / (24 * 60 * 60); day != m.day {
		m.day, m.bytes = day, 0
	}
	return m.bytes
}

// spend counts n bytes that have moved and waits until the rate allows the next.
func (m *meter) spend(ctx context.Context, n int) error {
	m.mu.Lock()
	m.today()
	m.bytes += int64(n)
	limit, over := m.limits.DailyBytes, m.limits.DailyBytes > 0 && m.bytes > m.limits.DailyBytes
	m.mu.Unlock()
	if over {
		return fmt.Errorf("%d bytes per day: %w", limit, vfs.ErrQuota)
	}
	for n > 0 {
		turn := n
		if m.limiter.Limit() != rate.Inf {
			turn = min(n, m.limiter.Burst())
		}
		if err := m.limiter.WaitN(ctx, turn); err != nil {
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case turn > m.limiter.Burst():
				continue // the limit has just been lowered
			}
			return fmt.Errorf("wait for the user's rate: %w", err)
		}
		n -= turn
	}
	return nil
}

// limited keeps a tree within its user's limits.
type limited struct {
	vfs.FS
	meter *meter
}

// Open is vfs.FS's.
func (l *limited) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, vfs.Info, error) {
	if _, err := l.meter.begin(); err != nil {
		return nil, vfs.Info{}, fmt.Errorf("open %s: %w", name, err)
	}
	body, info, err := l.FS.Open(ctx, name, offset)
	if err != nil {
		l.meter.end()
		return nil, info, err
	}
	return &download{metered: metered{ctx: ctx, r: body, meter: l.meter}, body: body, end: sync.OnceFunc(l.meter.end)}, info, nil
}

// Put is vfs.FS's.
func (l *limited) Put(ctx context.Context, name string, offset int64, r io.Reader, opts vfs.PutOptions) (vfs.Info, error) {
	limits, err := l.meter.begin()
	if err != nil {
		return vfs.Info{}, fmt.Errorf("put %s: %w", name, err)
	}
	defer l.meter.end()
	in := &metered{ctx: ctx, r: r, meter: l.meter}
	if limits.FileBytes > 0 {
		have := offset
		if offset == vfs.AtEnd {
			if have, err = l.size(ctx, name); err != nil {
				return vfs.Info{}, err
			}
		}
		in.limited, in.left = true, limits.FileBytes-have
		if in.left < max(0, opts.Size) {
			return vfs.Info{}, fmt.Errorf("put %s: %d bytes per file: %w", name, limits.FileBytes, vfs.ErrQuota)
		}
	}
	info, err := l.FS.Put(ctx, name, offset, in, opts)
	if err != nil && errors.Is(in.err, vfs.ErrQuota) {
		return info, fmt.Errorf("put %s: %w", name, in.err)
	}
	return info, err
}

// Copy is vfs.FS's. It is a transfer, though its bytes do not count: they go nowhere.
func (l *limited) Copy(ctx context.Context, from, to string) error {
	if err := l.join(ctx, from); err != nil {
		return fmt.Errorf("copy %s to %s: %w", from, to, err)
	}
	defer l.meter.end()
	return l.FS.Copy(ctx, from, to)
}

// Concat is vfs.FS's. It is a transfer like Copy.
func (l *limited) Concat(ctx context.Context, to string, from []string) error {
	parts := from
	if !slices.Contains(from, to) {
		parts = append([]string{to}, from...)
	}
	if err := l.join(ctx, parts...); err != nil {
		return fmt.Errorf("join %d files to %s: %w", len(from), to, err)
	}
	defer l.meter.end()
	return l.FS.Concat(ctx, to, from)
}

// join begins a transfer that makes one file of those that exist.
func (l *limited) join(ctx context.Context, names ...string) error {
	limits, err := l.meter.begin()
	if err != nil || limits.FileBytes <= 0 {
		return err
	}
	left := limits.FileBytes
	for _, name := range names {
		n, err := l.size(ctx, name)
		if err == nil && n > left {
			err = fmt.Errorf("%d bytes per file: %w", limits.FileBytes, vfs.ErrQuota)
		}
		if err != nil {
			l.meter.end()
			return err
		}
		left -= n
	}
	return nil
}

// Hash is vfs.FS's. It is a transfer, in which the bytes that are read from the store wait and count as in a download.
func (l *limited) Hash(ctx context.Context, name, algorithm string, offset, length int64) ([]byte, int64, error) {
	if _, err := l.meter.begin(); err != nil {
		return nil, 0, fmt.Errorf("%s of %s: %w", algorithm, name, err)
	}
	defer l.meter.end()
	return l.FS.Hash(vfs.Metered(ctx, func(n int) error { return l.meter.spend(ctx, n) }), name, algorithm, offset, length)
}

// size returns the size of a file that may not exist.
func (l *limited) size(ctx context.Context, name string) (int64, error) {
	info, err := l.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return info.Size, err
}

// metered is a reader that counts, waits and stops. It is read by one goroutine.
type metered struct {
	ctx     context.Context
	r       io.Reader
	meter   *meter
	limited bool
	left    int64 // bytes that the file may still grow by
	err     error // what the limits say; sticky
}

// turn is how much is read at once, so that a low rate does not come in jerks.
const turn = 256 << 10

func (m *metered) Read(p []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	n, err := m.r.Read(p[:min(len(p), turn)])
	if n == 0 {
		return n, err
	}
	if m.left -= int64(n); m.limited && m.left < 0 {
		m.err = fmt.Errorf("file grows beyond the limit: %w", vfs.ErrQuota)
		return 0, m.err
	}
	if m.err = m.meter.spend(m.ctx, n); m.err != nil {
		return 0, m.err
	}
	return n, err
}

// download is what Open returns.
type download struct {
	metered
	body io.Closer
	end  func()
}

func (d *download) Close() error {
	d.end()
	return d.body.Close()
}
