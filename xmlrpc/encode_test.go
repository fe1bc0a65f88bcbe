package xmlrpc

import (
	"encoding/xml"
	"testing"

	"pgregory.net/rapid"

	"onevolume"
	"onevolume/xmlrpc/wire"
)

// TestAnswerIsMarshal: every document is written as encoding/xml writes it,
// and escaped as the protocol escapes it.
func TestAnswerIsMarshal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := volume(t)
		v.Disabled = rapid.Bool().Draw(t, "disabled")
		if rapid.Bool().Draw(t, "locked") {
			v.Lock = onevolume.Lock{Level: onevolume.LockLevel(rapid.IntRange(1, 4).Draw(t, "level")), UID: 7, Time: moment(t, "locked at")}
		}
		if rapid.Bool().Draw(t, "no UTF-8") {
			v.Name, v.Reason = v.Name+"\xff\x00\ufffe\r", "\x1b[1m\xff\r\n"+v.Reason
		}
		secrets := rapid.Bool().Draw(t, "secrets")
		journal := several(t, "entries", entry)
		op := onevolume.Operation{ID: number().Draw(t, "op"), VM: vm(t), By: owner(t), Owner: hostile().Draw(t, "owner"), Error: hostile().Draw(t, "error")}
		pool := poolDocument{XMLName: xml.Name{Local: "VOLUME_POOL"}}
		for range rapid.IntRange(0, 2).Draw(t, "volumes") {
			pool.Volumes = append(pool.Volumes, volumeToXML(&v, secrets))
		}
		for _, document := range []any{
			volumeToXML(&v, secrets), pool, operationToXML(op, journal), deedsToXML(several(t, "deeds", deed)),
			reservationDocument{XMLName: xml.Name{Local: "RESERVATION"}, Operation: operationToXML(op, nil), Volume: volumeToXML(&v, true)},
			operationPoolDocument{XMLName: xml.Name{Local: "OPERATION_POOL"}, Operations: []operationDocument{operationToXML(op, journal)}},
			healthToXML(onevolume.Health{Hold: "held", Checkup: onevolume.Checkup{Findings: several(t, "findings", finding)}}),
		} {
			text, err := marshal(document)
			if err != nil {
				t.Fatal(err)
			}
			got, err := answer(document)
			if err != nil {
				t.Fatal(err)
			}
			if want := string(wire.AppendText(nil, text)); string(got.(wire.Escaped)) != want {
				t.Fatalf("%T is\n%s\nnot\n%s", document, got, want)
			}
		}
	})
}
