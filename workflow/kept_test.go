package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"onevolume"
	"onevolume/hypervisor/hypervisortest"
	"onevolume/iscsi/iscsitest"
	"onevolume/workflow"
)

// reader is a ledger that remembers the entries it was given.
type reader struct {
	onevolume.Ledger
	refuse error // what a write with commands is answered with

	mu      sync.Mutex
	entries []onevolume.Entry
	of      map[int][]onevolume.Entry // by operation
	refused int
}

func (l *reader) Record(ctx context.Context, op onevolume.OperationRef, entries []onevolume.Entry, note onevolume.Note) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		if l.refuse != nil && len(e.Commands) > 0 {
			l.refused++
			return l.refuse
		}
	}
	if err := l.Ledger.Record(ctx, op, entries, note); err != nil {
		return err
	}
	l.entries = append(l.entries, entries...)
	l.of[op.ID] = append(l.of[op.ID], entries...)
	return nil
}

// ran gives the commands of all entries, without connections and locks.
func (l *reader) ran() (list []string) {
	for _, e := range l.entries {
		for _, c := range e.Commands {
			if c.Text != "dial" && !strings.HasPrefix(c.Text, "lock ") {
				list = append(list, c.Host+" "+c.Text)
			}
		}
	}
	return list
}

// reading gives a process whose journal is read.
func (c *cloud) reading() (*process, *reader) {
	p := c.process("client")
	l := &reader{Ledger: p.engine.Ledger, of: map[int][]onevolume.Entry{}}
	p.engine.Ledger = l
	return p, l
}

// Every command on a host stands in the journal, once, with the entry that
// follows it.
func TestJournalHasAllCommands(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			c := newCloud(t, g)
			req, _ := s.set(c)
			c.net.Forget()
			p, l := c.reading()
			if _, err := p.run(t.Context(), req); err != nil {
				t.Fatal(err)
			}
			c.equalToCalls(l)
			var all []onevolume.Command
			for _, e := range l.entries {
				if e.Event == onevolume.StepStarted && slices.ContainsFunc(e.Commands, func(c onevolume.Command) bool { return c.Text != "dial" }) {
					t.Errorf("the start of %s has %v", e.Step, e.Commands)
				}
				all = append(all, e.Commands...)
			}
			if all[0].Text != "dial" || all[0].Host != "host01" || !strings.HasPrefix(all[1].Text, "lock ") {
				t.Errorf("the commands begin with %v", all[:2])
			}
		})
	}
}

func (c *cloud) equalToCalls(l *reader) {
	c.Helper()
	var want []string
	for _, call := range c.net.Calls() {
		want = append(want, call.Host+" "+call.Cmd.String())
	}
	if got := l.ran(); len(got) < 2 || strings.Join(got, "\n") != strings.Join(want, "\n") {
		c.Errorf("the journal has the commands\n%s\nand the hosts ran\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// So do those by which a failure was taken back, with what they said.
func TestJournalHasCommandsOfUndo(t *testing.T) {
	t.Parallel()
	c := newCloud(t, newGround(t))
	v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
	c.units[v.ID].Size *= 2
	c.net.Forget()
	p, l := c.reading()
	if _, err := p.run(t.Context(), attachRequest(vm, v)); onevolume.CodeOf(err) != onevolume.Mismatch {
		t.Fatal(err)
	}
	c.equalToCalls(l)
	c.settle()
}

// No secret reaches the journal.
func TestJournalHasNoSecrets(t *testing.T) {
	t.Parallel()
	c := newCloud(t, newGround(t))
	v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
	const secret = "s3cret-of-the-array"
	chap := onevolume.CHAP{User: "one", Secret: secret}
	if err := c.db.Update(t.Context(), v.ID, func(v *onevolume.Volume) error { v.Target.CHAP = chap; return nil }); err != nil {
		t.Fatal(err)
	}
	c.array.Change(v.Target.IQN, func(t *iscsitest.Target) { t.CHAP = chap })
	p, l := c.reading()
	if _, err := p.run(t.Context(), attachRequest(vm, v)); err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%#v", l.entries); strings.Contains(text, secret) || len(l.ran()) == 0 {
		t.Errorf("the journal: %s", text)
	}
}

// A journal that does not take the commands fails no operation.
func TestCommandsThatAreRefused(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	for name, err := range map[string]error{
		"invalid": onevolume.Errorf(onevolume.Invalid, "too long"), "too large": errors.New("XML-RPC request too large"),
	} {
		c := newCloud(t, g)
		v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
		p, l := c.reading()
		l.refuse = err
		if _, err := p.run(t.Context(), attachRequest(vm, v)); err != nil || l.refused == 0 {
			t.Errorf("%s: refused %d times: %v", name, l.refused, err)
		}
		c.settle()
		if got := c.read(v.ID); got.State != onevolume.Attached {
			t.Errorf("%s: the volume is %s", name, got.State)
		}
	}
}

// Runs that share an engine do not mix their commands up.
func TestRunsKeepTheirCommandsApart(t *testing.T) {
	t.Parallel()
	c := newCloud(t, newGround(t))
	p, l := c.reading()
	jobs := map[onevolume.IQN]*workflow.Job{}
	for target := 1; target <= 3; target++ {
		v := c.volume(target, 1)
		req := attachRequest(c.vm(c.hosts[0], hypervisortest.Domain{}), v)
		req.Owner = fmt.Sprint("client ", target)
		job, err := p.engine.Begin(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		jobs[v.Target.IQN] = job
	}
	var wg sync.WaitGroup
	for _, job := range jobs {
		wg.Go(func() {
			if _, err := job.Run(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for iqn, job := range jobs {
		text := fmt.Sprint(l.of[job.Operation().ID])
		if strings.Count(text, " dial ") != 1 {
			t.Errorf("not one dial with operation %d: %s", job.Operation().ID, text)
		}
		for other := range jobs {
			if strings.Contains(text, string(other)) != (other == iqn) {
				t.Errorf("operation %d is on %s, and %s is in its journal: %s", job.Operation().ID, iqn, other, text)
			}
		}
	}
}
