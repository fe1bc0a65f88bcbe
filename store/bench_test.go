package store_test

import (
	"testing"
	"time"

	"onevolume"
	"onevolume/store"
)

func benchmarks(b *testing.B, bench func(b *testing.B, w *world)) {
	for name, options := range map[string]func(testing.TB) store.Options{"sqlite": sqliteOptions, "mariadb": mariadbOptions} {
		b.Run(name, func(b *testing.B) {
			w := open(b, options(b))
			for i := range 1000 {
				w.allocate(b, volume(i, gib))
			}
			bench(b, w)
		})
	}
}

// With both deeds in the audit.
func BenchmarkReserveAndFinish(b *testing.B) {
	benchmarks(b, func(b *testing.B, w *world) {
		ctx := asks(b, alice, "attach", "17 1G")
		for b.Loop() {
			op, _, err := w.Reserve(ctx, alice, attach(17, gib))
			if err != nil {
				b.Fatal(err)
			}
			w.finish(b, op, onevolume.Ending{Status: onevolume.Undone, State: onevolume.Available})
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	benchmarks(b, func(b *testing.B, w *world) {
		op, _ := w.reserve(b, alice, attach(17, gib))
		for b.Loop() {
			w.clock.advance(time.Millisecond)
			w.record(b, op, []onevolume.Entry{entry(w, "login", onevolume.StepStarted, "")}, onevolume.Note{})
		}
	})
}

func BenchmarkList(b *testing.B) {
	benchmarks(b, func(b *testing.B, w *world) {
		for b.Loop() {
			if _, err := w.Volumes(b.Context(), everything(alice)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
