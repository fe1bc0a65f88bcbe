package openfiler

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"onevolume"
)

// ParseSettings reads iscsi_settings.xml, the master of Openfiler's targets,
// from which the web pages write /etc/ietd.conf. Users outside of targets are
// for discovery (ietd.conf(5)) and are passed over.
func ParseSettings(text string) ([]Unit, error) {
	type user struct {
		Name   string `xml:"username,attr"`
		Secret string `xml:"password,attr"`
	}
	var doc struct {
		XMLName xml.Name `xml:"iet"`
		Targets []struct {
			Name     string `xml:"Name,attr"`
			Incoming []user `xml:"IncomingUser"`
			Outgoing []user `xml:"OutgoingUser"`
			Units    []struct {
				ID     string `xml:"Id,attr"`
				Path   string `xml:"Path,attr"`
				Serial string `xml:"ScsiSN,attr"`
				Mode   string `xml:"IOMode,attr"`
			} `xml:"lun"`
		} `xml:"targets>target"`
	}
	if err := decode(text, &doc); err != nil {
		return nil, fmt.Errorf("iscsi_settings.xml: %w", err)
	}
	var units []Unit
	seen := map[place]bool{}
	for _, t := range doc.Targets {
		if t.Name == "" {
			return nil, errors.New("iscsi_settings.xml: a target without a name")
		}
		var chap onevolume.CHAP
		if len(t.Incoming) > 0 {
			chap.User, chap.Secret = t.Incoming[0].Name, t.Incoming[0].Secret
		}
		if len(t.Outgoing) > 0 {
			chap.UserIn, chap.SecretIn = t.Outgoing[0].Name, t.Outgoing[0].Secret
		}
		for _, l := range t.Units {
			lun, err := strconv.ParseUint(l.ID, 10, 31)
			if err != nil {
				return nil, fmt.Errorf("iscsi_settings.xml: target %s: %q is no number of a logical unit", t.Name, l.ID)
			}
			u := Unit{Target: strings.ToLower(t.Name), LUN: int(lun), Path: l.Path, Mode: l.Mode,
				Serial: strings.TrimSpace(l.Serial), CHAP: chap, Configured: true}
			if seen[u.place()] {
				return nil, fmt.Errorf("iscsi_settings.xml: target %s has the logical unit %d twice", t.Name, lun)
			}
			seen[u.place()] = true
			units = append(units, u)
		}
	}
	return units, nil
}

// ParseNames reads volumes.xml and gives the descriptions of logical volumes
// by the paths of their devices.
func ParseNames(text string) (map[string]string, error) {
	var doc struct {
		XMLName xml.Name `xml:"volumes"`
		Volumes []struct {
			ID   string `xml:"id,attr"`
			VG   string `xml:"vg,attr"`
			Name string `xml:"name,attr"`
		} `xml:"volume"`
	}
	if err := decode(text, &doc); err != nil {
		return nil, fmt.Errorf("volumes.xml: %w", err)
	}
	names := map[string]string{}
	for _, v := range doc.Volumes {
		names["/dev/"+v.VG+"/"+v.ID] = v.Name
	}
	return names, nil
}

// decode reads a document to its end. The web pages write what people typed
// with HTML's names of characters, and some files in ISO 8859-1.
func decode(text string, into any) error {
	d := xml.NewDecoder(strings.NewReader(text))
	d.Entity = xml.HTMLEntity
	d.CharsetReader = func(label string, in io.Reader) (io.Reader, error) {
		if !strings.EqualFold(label, "iso-8859-1") {
			return nil, fmt.Errorf("the encoding %q is not known", label)
		}
		raw, err := io.ReadAll(in)
		var b strings.Builder
		for _, c := range raw {
			b.WriteRune(rune(c))
		}
		return strings.NewReader(b.String()), err
	}
	if err := d.Decode(into); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("it is empty")
		}
		return err
	}
	return trailing(d)
}

// trailing allows nothing but comments and blanks after a document's element.
func trailing(d *xml.Decoder) error {
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, element := t.(xml.StartElement); element {
			return errors.New("there is more after its element")
		}
	}
}
