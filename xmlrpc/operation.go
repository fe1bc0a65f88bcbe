package xmlrpc

import (
	"encoding/xml"
	"time"

	"onevolume"
)

// The documents of the methods by which a client runs a workflow itself.
// Times are in milliseconds since 1970, since a journal's order within a
// second matters to its readers.

type ownerDocument struct {
	UID   int    `xml:"UID"`
	GID   int    `xml:"GID"`
	UName string `xml:"UNAME"`
	GName string `xml:"GNAME"`
}

type vmDocument struct {
	ID         int           `xml:"ID"`
	Name       cdata         `xml:"NAME"`
	Host       string        `xml:"HOSTNAME"`
	Hypervisor string        `xml:"VM_MAD"`
	DeployID   string        `xml:"DEPLOY_ID"`
	Owner      ownerDocument `xml:"OWNER"`
	Running    bool          `xml:"RUNNING"`
}

type requestDocument struct {
	XMLName xml.Name   `xml:"REQUEST"`
	Kind    string     `xml:"KIND"`
	VM      vmDocument `xml:"VM"`
	Volume  cdata      `xml:"VOLUME"`
	Size    int64      `xml:"SIZE_BYTES"`
	Exact   bool       `xml:"EXACT"`
	Array   cdata      `xml:"ARRAY"`
	Leave   string     `xml:"LEAVE"`
	Owner   cdata      `xml:"OWNER"`
	Lease   int64      `xml:"LEASE_MS"`
	DryRun  bool       `xml:"DRY_RUN"`
}

type operationDocument struct {
	XMLName    xml.Name      `xml:"OPERATION"`
	ID         int           `xml:"ID"`
	Kind       string        `xml:"KIND"`
	Volume     int           `xml:"VOLUME_ID"`
	VM         vmDocument    `xml:"VM"`
	Leave      string        `xml:"LEAVE"`
	Status     string        `xml:"STATUS"`
	Prior      string        `xml:"PRIOR"`
	By         ownerDocument `xml:"BY"`
	Owner      cdata         `xml:"OWNER"`
	Generation int           `xml:"GENERATION"`
	Way        string        `xml:"WAY"`
	Lease      int64         `xml:"LEASE"`
	Started    int64         `xml:"STARTED"`
	Ended      int64         `xml:"ENDED"`
	Error      cdata         `xml:"ERROR"`
	// Destination is the host that the VM goes to, of kind migrate.
	Destination string          `xml:"DESTINATION,omitempty"`
	Journal     []entryDocument `xml:"JOURNAL>ENTRY"`
}

type entryDocument struct {
	Seq        int               `xml:"SEQ"`
	Step       string            `xml:"STEP"`
	Event      string            `xml:"EVENT"`
	Time       int64             `xml:"TIME"`
	Generation int               `xml:"GENERATION"`
	Owner      cdata             `xml:"OWNER"`
	Detail     cdata             `xml:"DETAIL"`
	Commands   []commandDocument `xml:"COMMANDS>COMMAND"`
}

// commandDocument is a command on a host. How long it took is in
// microseconds: most are done within a few milliseconds.
type commandDocument struct {
	Host    string `xml:"HOST"`
	Text    cdata  `xml:"TEXT"`
	Started int64  `xml:"STARTED"`
	Took    int64  `xml:"TOOK_US"`
	Code    int    `xml:"STATUS"`
	Stderr  cdata  `xml:"STDERR"`
	Error   cdata  `xml:"ERROR"`
}

type noteDocument struct {
	State      string `xml:"STATUS"`
	Host       string `xml:"HOST"`
	Device     string `xml:"DEVICE"`
	Source     cdata  `xml:"SOURCE"`
	Serial     string `xml:"SERIAL"`
	UnitSerial cdata  `xml:"UNIT_SERIAL"`
	WWID       cdata  `xml:"WWID"`
}

type recordDocument struct {
	XMLName xml.Name        `xml:"RECORD"`
	Entries []entryDocument `xml:"ENTRY"`
	Note    noteDocument    `xml:"NOTE"`
}

type endingDocument struct {
	XMLName xml.Name     `xml:"ENDING"`
	Status  string       `xml:"STATUS"`
	State   string       `xml:"VOLUME_STATUS"`
	Error   cdata        `xml:"ERROR"`
	Note    noteDocument `xml:"NOTE"`
}

type reservationDocument struct {
	XMLName   xml.Name          `xml:"RESERVATION"`
	Operation operationDocument `xml:"OPERATION"`
	Volume    volumeDocument    `xml:"VOLUME"`
}

func ownerToXML(o onevolume.Owner) ownerDocument {
	return ownerDocument{o.UID, o.GID, o.User, o.Group}
}

func (d ownerDocument) owner() onevolume.Owner {
	return onevolume.Owner{UID: d.UID, GID: d.GID, User: d.UName, Group: d.GName}
}

func vmToXML(v onevolume.VM) vmDocument {
	return vmDocument{int(v.ID), cdata{v.Name}, v.Host, v.Hypervisor, v.DeployID, ownerToXML(v.Owner), v.Running}
}

func (d vmDocument) vm() onevolume.VM {
	return onevolume.VM{ID: onevolume.VMID(d.ID), Name: d.Name.Text, Host: d.Host, Hypervisor: d.Hypervisor,
		DeployID: d.DeployID, Owner: d.Owner.owner(), Running: d.Running}
}

func requestToXML(r onevolume.Request) requestDocument {
	return requestDocument{Kind: string(r.Kind), VM: vmToXML(r.VM), Volume: cdata{r.Pick.Volume}, Size: int64(r.Pick.Size),
		Exact: r.Pick.Exact, Array: cdata{r.Pick.Array}, Leave: string(r.Leave), Owner: cdata{r.Owner},
		Lease: r.Lease.Milliseconds(), DryRun: r.DryRun}
}

func (d requestDocument) request() onevolume.Request {
	return onevolume.Request{Kind: onevolume.Kind(d.Kind), VM: d.VM.vm(),
		Pick:  onevolume.Pick{Volume: d.Volume.Text, Size: onevolume.Size(d.Size), Exact: d.Exact, Array: d.Array.Text},
		Leave: onevolume.Leave(d.Leave), Owner: d.Owner.Text, Lease: time.Duration(d.Lease) * time.Millisecond, DryRun: d.DryRun}
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n)
}

func operationToXML(o onevolume.Operation, journal []onevolume.Entry) operationDocument {
	return operationDocument{ID: o.ID, Kind: string(o.Kind), Volume: int(o.Volume), VM: vmToXML(o.VM), Leave: string(o.Leave),
		Status: string(o.Status), Prior: string(o.Prior), By: ownerToXML(o.By), Owner: cdata{o.Owner},
		Generation: o.Generation, Way: string(o.Way), Lease: millis(o.Lease), Started: millis(o.Started), Ended: millis(o.Ended),
		Error: cdata{o.Error}, Destination: o.Destination, Journal: entriesToXML(journal)}
}

func (d operationDocument) operation() (onevolume.Operation, []onevolume.Entry) {
	return onevolume.Operation{ID: d.ID, Kind: onevolume.Kind(d.Kind), Volume: onevolume.VolumeID(d.Volume), VM: d.VM.vm(),
		Leave: onevolume.Leave(d.Leave), Status: onevolume.Status(d.Status), Prior: onevolume.State(d.Prior),
		By: d.By.owner(), Owner: d.Owner.Text, Generation: d.Generation,
		Way: onevolume.Way(d.Way), Lease: fromMillis(d.Lease), Started: fromMillis(d.Started), Ended: fromMillis(d.Ended), Error: d.Error.Text,
		Destination: d.Destination}, entries(d.Journal)
}

func entriesToXML(list []onevolume.Entry) []entryDocument {
	out := make([]entryDocument, len(list))
	for i, e := range list {
		out[i] = entryDocument{e.Seq, e.Step, string(e.Event), millis(e.Time), e.Generation, cdata{e.Owner}, cdata{e.Detail},
			commandsToXML(e.Commands)}
	}
	return out
}

func entries(list []entryDocument) []onevolume.Entry {
	out := make([]onevolume.Entry, len(list))
	for i, d := range list {
		out[i] = onevolume.Entry{Seq: d.Seq, Step: d.Step, Event: onevolume.Event(d.Event), Time: fromMillis(d.Time),
			Generation: d.Generation, Owner: d.Owner.Text, Detail: d.Detail.Text, Commands: commands(d.Commands)}
	}
	return out
}

func commandsToXML(list []onevolume.Command) []commandDocument {
	out := make([]commandDocument, len(list))
	for i, c := range list {
		out[i] = commandDocument{c.Host, cdata{c.Text}, millis(c.Started), c.Took.Microseconds(), c.Code, cdata{c.Stderr}, cdata{c.Error}}
	}
	return out
}

func commands(list []commandDocument) []onevolume.Command {
	var out []onevolume.Command
	for _, d := range list {
		out = append(out, onevolume.Command{Host: d.Host, Text: d.Text.Text, Started: fromMillis(d.Started),
			Took: time.Duration(d.Took) * time.Microsecond, Code: d.Code, Stderr: d.Stderr.Text, Error: d.Error.Text})
	}
	return out
}

func noteToXML(n onevolume.Note) noteDocument {
	return noteDocument{string(n.State), n.Host, n.Device, cdata{n.Source}, n.Serial, cdata{n.Identity.Serial}, cdata{n.Identity.WWID}}
}

func (d noteDocument) note() onevolume.Note {
	return onevolume.Note{State: onevolume.State(d.State), Host: d.Host, Device: d.Device, Source: d.Source.Text, Serial: d.Serial,
		Identity: onevolume.Identity{Serial: d.UnitSerial.Text, WWID: d.WWID.Text}}
}
