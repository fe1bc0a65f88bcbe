package wire

import (
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
)

const (
	// gzipFrom is the smallest answer that is compressed: below it hardly
	// anything is won.
	gzipFrom = 1 << 10
	// gzipAtOnce bounds the memory: a compressor at its fastest holds about
	// 800 kB. Answers beyond it go out as they are.
	gzipAtOnce = 8
)

// Compress answers with gzip those who ask for it, unless h's answer is small
// or encoded already.
func Compress(h http.Handler) http.Handler {
	free := make(chan *gzip.Writer, gzipAtOnce)
	for range gzipAtOnce {
		free <- nil // made when it is needed first
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !takesGzip(r.Header.Values("Accept-Encoding")) {
			h.ServeHTTP(w, r)
			return
		}
		z := &zipped{ResponseWriter: w, free: free}
		defer z.close()
		h.ServeHTTP(z, r)
	})
}

// takesGzip reads Accept-Encoding (RFC 9110, 12.5.3).
func takesGzip(values []string) bool {
	star := false
	for coding := range strings.SplitSeq(strings.Join(values, ","), ",") {
		name, weight, _ := strings.Cut(coding, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		wanted := true
		if q, ok := strings.CutPrefix(strings.ReplaceAll(weight, " ", ""), "q="); ok {
			f, err := strconv.ParseFloat(q, 64)
			wanted = err == nil && f > 0
		}
		switch name {
		case "gzip", "x-gzip":
			return wanted
		case "*":
			star = wanted
		}
	}
	return star
}

// zipped decides at the header whether to compress.
type zipped struct {
	http.ResponseWriter
	free    chan *gzip.Writer
	zip     *gzip.Writer
	decided bool
}

// Unwrap is for http.ResponseController.
func (z *zipped) Unwrap() http.ResponseWriter { return z.ResponseWriter }

func (z *zipped) WriteHeader(status int) {
	if !z.decided && status >= 200 {
		z.decided = true
		z.decide(status)
	}
	z.ResponseWriter.WriteHeader(status)
}

func (z *zipped) decide(status int) {
	head := z.Header()
	length, err := strconv.Atoi(head.Get("Content-Length"))
	if status != http.StatusOK || head.Get("Content-Encoding") != "" || err == nil && length < gzipFrom {
		return
	}
	head.Add("Vary", "Accept-Encoding")
	select {
	case z.zip = <-z.free:
	default:
		return
	}
	if z.zip == nil {
		z.zip, _ = gzip.NewWriterLevel(z.ResponseWriter, gzip.BestSpeed) // no error: it is a level
	} else {
		z.zip.Reset(z.ResponseWriter)
	}
	head.Del("Content-Length")
	head.Set("Content-Encoding", "gzip")
}

func (z *zipped) Write(b []byte) (int, error) {
	if !z.decided {
		z.WriteHeader(http.StatusOK)
	}
	if z.zip != nil {
		return z.zip.Write(b)
	}
	return z.ResponseWriter.Write(b)
}

// FlushError sends what there is, for http.ResponseController.
func (z *zipped) FlushError() error {
	if z.zip != nil {
		if err := z.zip.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(z.ResponseWriter).Flush()
}

func (z *zipped) close() {
	if z.zip == nil {
		return
	}
	_ = z.zip.Close() // a client that went away is no error of the server's
	z.zip.Reset(nil)
	z.free <- z.zip
}
