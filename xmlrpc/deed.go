package xmlrpc

import (
	"encoding/xml"

	"onevolume"
)

// The documents of what administrators and auditors ask for: deeds, the last
// checkup, and an administrator's word on a volume. Times are in
// milliseconds since 1970, 0 for none; -1 and 0 are as in package onevolume.

type deedDocument struct {
	ID        int    `xml:"ID"`
	Time      int64  `xml:"TIME"`
	UID       int    `xml:"UID"`
	GID       int    `xml:"GID"`
	UName     string `xml:"UNAME"`
	GName     string `xml:"GNAME"`
	From      cdata  `xml:"FROM"`
	Action    string `xml:"ACTION"`
	Request   cdata  `xml:"REQUEST"`
	Volume    int    `xml:"VOLUME_ID"`
	VM        int    `xml:"VM_ID"`
	Operation int    `xml:"OPERATION"`
	Result    cdata  `xml:"RESULT"`
}

type deedPoolDocument struct {
	XMLName xml.Name       `xml:"DEED_POOL"`
	Deeds   []deedDocument `xml:"DEED"`
}

func deedsToXML(list []onevolume.Deed) deedPoolDocument {
	pool := deedPoolDocument{XMLName: xml.Name{Local: "DEED_POOL"}}
	for _, d := range list {
		pool.Deeds = append(pool.Deeds, deedDocument{ID: d.ID, Time: millis(d.Time), UID: d.By.UID, GID: d.By.GID,
			UName: d.By.User, GName: d.By.Group, From: cdata{d.From}, Action: d.Action, Request: cdata{d.Text},
			Volume: int(d.Volume), VM: int(d.VM), Operation: d.Operation, Result: cdata{d.Result}})
	}
	return pool
}

func (p deedPoolDocument) deeds() []onevolume.Deed {
	out := make([]onevolume.Deed, len(p.Deeds))
	for i, d := range p.Deeds {
		out[i] = onevolume.Deed{ID: d.ID, Time: fromMillis(d.Time),
			Ask: onevolume.Ask{By: onevolume.Owner{UID: d.UID, GID: d.GID, User: d.UName, Group: d.GName},
				From: d.From.Text, Action: d.Action, Text: d.Request.Text},
			Volume: onevolume.VolumeID(d.Volume), VM: onevolume.VMID(d.VM), Operation: d.Operation, Result: d.Result.Text}
	}
	return out
}

type recoveryDocument struct {
	XMLName xml.Name `xml:"RECOVERY"`
	Status  string   `xml:"STATUS"`
	VM      int      `xml:"VM_ID"`
	Host    string   `xml:"HOST"`
	Device  string   `xml:"DEVICE"`
	Source  cdata    `xml:"SOURCE"`
	Serial  string   `xml:"SERIAL"`
	Reason  cdata    `xml:"REASON"`
}

func recoveryToXML(r onevolume.Recovery) recoveryDocument {
	a := r.Attachment
	return recoveryDocument{XMLName: xml.Name{Local: "RECOVERY"}, Status: string(r.State), VM: int(a.VM), Host: a.Host,
		Device: a.Device, Source: cdata{a.Source}, Serial: a.Serial, Reason: cdata{r.Reason}}
}

func (d recoveryDocument) recovery() onevolume.Recovery {
	return onevolume.Recovery{State: onevolume.State(d.Status), Reason: d.Reason.Text,
		Attachment: onevolume.Attachment{VM: onevolume.VMID(d.VM), Host: d.Host, Device: d.Device, Source: d.Source.Text, Serial: d.Serial}}
}

type findingDocument struct {
	Trouble   string  `xml:"TROUBLE"`
	Host      string  `xml:"HOST"`
	Volume    int     `xml:"VOLUME_ID"`
	VM        int     `xml:"VM_ID"`
	Operation int     `xml:"OPERATION"`
	Cause     cdata   `xml:"CAUSE"`
	Risk      cdata   `xml:"RISK"`
	Repair    []cdata `xml:"REPAIR>COMMAND"`
	Fixable   bool    `xml:"FIXABLE"`
	Harmless  bool    `xml:"HARMLESS"`
}

// checkupDocument counts the findings for everybody and lists them for
// administrators.
type checkupDocument struct {
	XMLName  xml.Name          `xml:"CHECKUP"`
	Hold     cdata             `xml:"HOLD"`
	Time     int64             `xml:"TIME"`
	Hosts    int               `xml:"HOSTS"`
	Volumes  int               `xml:"VOLUMES"`
	Count    int               `xml:"DIFFERENCES"`
	Findings []findingDocument `xml:"FINDINGS>FINDING"`
}

func healthToXML(h onevolume.Health) checkupDocument {
	c := h.Checkup
	d := checkupDocument{XMLName: xml.Name{Local: "CHECKUP"}, Hold: cdata{h.Hold}, Time: millis(c.Time), Hosts: c.Hosts,
		Volumes: c.Volumes, Count: h.Differences}
	for _, f := range c.Findings {
		x := findingDocument{Trouble: string(f.Trouble), Host: f.Host, Volume: int(f.Volume), VM: int(f.VM), Operation: f.Operation,
			Cause: cdata{f.Cause}, Risk: cdata{f.Risk}, Fixable: f.Fixable, Harmless: f.Harmless}
		for _, line := range f.Repair {
			x.Repair = append(x.Repair, cdata{line})
		}
		d.Findings = append(d.Findings, x)
	}
	return d
}

func (d checkupDocument) health() onevolume.Health {
	h := onevolume.Health{Hold: d.Hold.Text, Differences: d.Count,
		Checkup: onevolume.Checkup{Time: fromMillis(d.Time), Hosts: d.Hosts, Volumes: d.Volumes}}
	for _, x := range d.Findings {
		f := onevolume.Finding{Trouble: onevolume.Trouble(x.Trouble), Host: x.Host, Volume: onevolume.VolumeID(x.Volume),
			VM: onevolume.VMID(x.VM), Operation: x.Operation, Cause: x.Cause.Text, Risk: x.Risk.Text, Fixable: x.Fixable, Harmless: x.Harmless}
		for _, line := range x.Repair {
			f.Repair = append(f.Repair, line.Text)
		}
		h.Checkup.Findings = append(h.Checkup.Findings, f)
	}
	return h
}

type operationPoolDocument struct {
	XMLName    xml.Name            `xml:"OPERATION_POOL"`
	Operations []operationDocument `xml:"OPERATION"`
}
