package cli

import (
	"context"
	"iter"

	"onevolume"
	"onevolume/cli/document"
)

// pages reads a pool page by page, the newest volumes first: one of first
// volumes, then such of size. What is registered meanwhile moves the rest
// back, so that a page may begin with what has been seen; that is left out.
func (s *Session) pages(ctx context.Context, flag, first, size int) iter.Seq2[[]onevolume.Volume, error] {
	return func(yield func([]onevolume.Volume, error) bool) {
		read, last := 0, onevolume.VolumeID(-1)
		for want := first; ; want = size {
			list, err := s.Daemon.Pool(ctx, flag, read, -want)
			if err != nil {
				yield(nil, err)
				return
			}
			read += len(list)
			end := len(list) < want
			for last >= 0 && len(list) > 0 && list[0].ID >= last {
				list = list[1:]
			}
			if len(list) > 0 {
				last = list[len(list)-1].ID
			}
			if !yield(list, nil) || end {
				return
			}
		}
	}
}

// volumes reads a whole pool.
func (s *Session) volumes(ctx context.Context, flag, size int) ([]onevolume.Volume, error) {
	var all []onevolume.Volume
	for list, err := range s.pages(ctx, flag, size, size) {
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

// pool reads a whole pool as a document.
func (s *Session) pool(ctx context.Context, flag, size int) (*document.Element, error) {
	var pool *document.Element
	for read := 0; ; {
		text, err := s.Daemon.PoolXML(ctx, flag, read, -size)
		if err != nil {
			return nil, err
		}
		page, err := document.Parse(text)
		if err != nil {
			return nil, err
		}
		n := len(page.Children)
		read += n
		if pool == nil {
			pool = page
		} else {
			pool.Join(page)
		}
		if n < size {
			return pool, nil
		}
	}
}
