package logical

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
)

// loadAndIndex runs the middle of the load: rows, large objects, sequences,
// neutralising, and the indexes and constraints of tables as they fill.
func (d *loader) loadAndIndex(ctx context.Context, _ *session) error {
	g, err := d.newGraph(ctx)
	if err != nil {
		return err
	}
	return d.runSteps(ctx, g.steps)
}

// runSteps runs a graph of steps on as many sessions as there are jobs.
func (d *loader) runSteps(ctx context.Context, steps []*step) error {
	if len(steps) == 0 {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	pool := newPool(ctx, steps, d.Jobs, d.Report)
	defer pool.stop()
	for range min(d.Jobs, len(steps)) {
		group.Go(func() error { return d.workOn(ctx, pool) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return pool.stuck()
}

// workOn does steps on one session until none is left.
func (d *loader) workOn(ctx context.Context, pool *stepPool) error {
	s, err := d.connect(ctx)
	if err != nil {
		return err
	}
	defer s.close(ctx)
	for {
		st, err := pool.take(ctx)
		if st == nil || err != nil {
			return err
		}
		if err := st.run(ctx, s); err != nil {
			return err
		}
		pool.finish(st)
	}
}

// stepPool hands out steps whose predecessors are done and whose locks are
// free.
type stepPool struct {
	mu      sync.Mutex
	changed *sync.Cond
	ready   []*step
	left    int
	jobs    int // sessions that there are
	running int
	held    map[lockKey]int // -1 for an exclusive holder
	stop    func() bool

	report      envdb.Report
	built, todo int64
}

func newPool(ctx context.Context, steps []*step, jobs int, report envdb.Report) *stepPool {
	p := &stepPool{left: len(steps), jobs: jobs, held: map[lockKey]int{}, report: report}
	measurePaths(steps)
	p.changed = sync.NewCond(&p.mu)
	p.stop = context.AfterFunc(ctx, p.changed.Broadcast)
	for _, s := range steps {
		if s.index {
			p.todo++
		}
		if s.waits == 0 {
			p.ready = append(p.ready, s)
		}
	}
	return p
}

// measurePaths sets the path of each step, from the last ones back. A step that
// waits for itself, by way of others, gets none.
func measurePaths(steps []*step) {
	waits := make(map[*step]int, len(steps))
	var order []*step // each behind those that it waits for
	for _, s := range steps {
		if waits[s] = s.waits; s.waits == 0 {
			order = append(order, s)
		}
	}
	for i := 0; i < len(order); i++ {
		for _, n := range order[i].next {
			if waits[n]--; waits[n] == 0 {
				order = append(order, n)
			}
		}
	}
	for _, s := range slices.Backward(order) {
		s.path = s.weight
		for _, n := range s.next {
			s.path = max(s.path, s.weight+n.path)
		}
	}
}

// take returns a step, or nil when all are done. It waits while those that are
// left depend on those that run.
func (p *stepPool) take(ctx context.Context) (*step, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if s := p.pick(); s != nil {
			p.running++
			s.spare = p.spare(s)
			return s, nil
		}
		if p.left == 0 || p.running == 0 {
			p.changed.Broadcast()
			return nil, nil
		}
		p.changed.Wait()
	}
}

// spare returns how many sessions would have nothing to do while the step runs,
// or only what is little beside it.
func (p *stepPool) spare(s *step) int {
	n := p.jobs - p.running
	for _, r := range p.ready {
		if r.path >= s.weight/4 {
			n--
		}
	}
	return max(0, n)
}

// pick removes the ready step with the longest path that can have its locks;
// of equals the one that became ready first.
func (p *stepPool) pick() *step {
	best := -1
	for i, s := range p.ready {
		if p.free(s.locks) && (best < 0 || s.path > p.ready[best].path) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	s := p.ready[best]
	p.ready = append(p.ready[:best], p.ready[best+1:]...)
	for _, l := range s.locks {
		if l.exclusive {
			p.held[l.key] = -1
		} else {
			p.held[l.key]++
		}
	}
	return s
}

func (p *stepPool) free(locks []lock) bool {
	for _, l := range locks {
		if n := p.held[l.key]; n < 0 || n > 0 && l.exclusive {
			return false
		}
	}
	return true
}

// finish gives the step's locks back and readies what waited for it.
func (p *stepPool) finish(s *step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left--
	p.running--
	for _, l := range s.locks {
		if l.exclusive {
			p.held[l.key] = 0
		} else {
			p.held[l.key]--
		}
	}
	for _, n := range s.next {
		if n.waits--; n.waits == 0 {
			p.ready = append(p.ready, n)
		}
	}
	if s.index {
		p.built++
		p.report.Send(envdb.Progress{Step: "build indexes", Done: p.built, Total: p.todo, Unit: "objects"})
	}
	p.changed.Broadcast()
}

// stuck returns an error if steps are left that wait for each other, which an
// archive that pg_dump wrote does not make happen.
func (p *stepPool) stuck() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 {
		return nil
	}
	return fmt.Errorf("load the database: %d objects of the schema depend on each other in a circle", p.left)
}
