package xmlrpc

import (
	"encoding/xml"
	"fmt"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"onevolume"
)

// volumeDocument is the XML of a volume, in the order and with the names of
// OpenNebula's own documents where it has one for the thing.
type volumeDocument struct {
	XMLName     xml.Name            `xml:"VOLUME"`
	ID          int                 `xml:"ID"`
	UID         int                 `xml:"UID"`
	GID         int                 `xml:"GID"`
	UName       string              `xml:"UNAME"`
	GName       string              `xml:"GNAME"`
	Name        string              `xml:"NAME"`
	Lock        *lockDocument       `xml:"LOCK"`
	Permissions permissionsDocument `xml:"PERMISSIONS"`
	State       int                 `xml:"STATE"`
	Status      string              `xml:"STATUS"`
	Disabled    int                 `xml:"DISABLED"`
	Reason      cdata               `xml:"REASON"`
	Size        int64               `xml:"SIZE"`
	SizeBytes   int64               `xml:"SIZE_BYTES"`
	IQN         string              `xml:"IQN"`
	LUN         int                 `xml:"LUN"`
	Portals     string              `xml:"PORTALS"`
	Array       cdata               `xml:"ARRAY"`
	ArrayID     string              `xml:"ARRAY_ID"`
	UnitSerial  cdata               `xml:"UNIT_SERIAL"`
	WWID        cdata               `xml:"WWID"`
	CHAP        chapDocument        `xml:"CHAP"`
	VMID        int                 `xml:"VM_ID"`
	Host        string              `xml:"HOST"`
	Device      string              `xml:"DEVICE"`
	Source      cdata               `xml:"SOURCE"`
	Serial      string              `xml:"SERIAL"`
	HomeUID     int                 `xml:"HOME_UID"`
	HomeGID     int                 `xml:"HOME_GID"`
	Operation   int                 `xml:"OPERATION"`
	RegTime     int64               `xml:"REGTIME"`
	ModTime     int64               `xml:"MODTIME"`
	Version     int                 `xml:"VERSION"`
	Template    templateDocument    `xml:"TEMPLATE"`
	Snapshots   []snapshotDocument  `xml:"SNAPSHOTS>SNAPSHOT"` // only of one.volume.info
	Newest      *newestDocument     `xml:"NEWEST_OPERATION"`   // only of an extended pool
}

// newestDocument is what an extended pool says of a volume's newest
// operation. The rest of it is one.volume.operation's.
type newestDocument struct {
	ID      int    `xml:"ID"`
	Kind    string `xml:"KIND"`
	Status  string `xml:"STATUS"`
	VM      int    `xml:"VM_ID"`
	Started int64  `xml:"STARTED"`
	Ended   int64  `xml:"ENDED"`
	Error   cdata  `xml:"ERROR"`
}

// lockDocument is there only while a lock is. Requests have no ids here, so
// REQ_ID is always -1.
type lockDocument struct {
	Locked int   `xml:"LOCKED"`
	Owner  int   `xml:"OWNER"`
	Time   int64 `xml:"TIME"`
	ReqID  int   `xml:"REQ_ID"`
}

type permissionsDocument struct {
	OwnerU int `xml:"OWNER_U"`
	OwnerM int `xml:"OWNER_M"`
	OwnerA int `xml:"OWNER_A"`
	GroupU int `xml:"GROUP_U"`
	GroupM int `xml:"GROUP_M"`
	GroupA int `xml:"GROUP_A"`
	OtherU int `xml:"OTHER_U"`
	OtherM int `xml:"OTHER_M"`
	OtherA int `xml:"OTHER_A"`
}

// chapDocument names the users; secrets are there only for administrators
// who asked for them.
type chapDocument struct {
	User     cdata  `xml:"USER"`
	UserIn   cdata  `xml:"USER_IN"`
	Secret   *cdata `xml:"SECRET,omitempty"`
	SecretIn *cdata `xml:"SECRET_IN,omitempty"`
}

// cdata is free text, which OpenNebula's documents keep in CDATA.
type cdata struct {
	Text string `xml:",cdata"`
}

// templateDocument is a volume's attributes, sorted by name.
type templateDocument struct {
	Attributes []attribute `xml:",any"`
}

type attribute struct {
	XMLName xml.Name
	Value   string `xml:",cdata"`
}

func (p *permissionsDocument) bits() []*int {
	return []*int{&p.OwnerU, &p.OwnerM, &p.OwnerA, &p.GroupU, &p.GroupM, &p.GroupA, &p.OtherU, &p.OtherM, &p.OtherA}
}

func permissionsToXML(p onevolume.Permissions) permissionsDocument {
	var d permissionsDocument
	for i, bit := range d.bits() {
		*bit = int(p) >> (8 - i) & 1
	}
	return d
}

func (p *permissionsDocument) permissions() onevolume.Permissions {
	var n int
	for _, bit := range p.bits() {
		n = n<<1 | *bit&1
	}
	return onevolume.Permissions(n)
}

func chapToXML(c onevolume.CHAP, secrets bool) chapDocument {
	d := chapDocument{User: cdata{c.User}, UserIn: cdata{c.UserIn}}
	if secrets {
		d.Secret, d.SecretIn = &cdata{c.Secret}, &cdata{c.SecretIn}
	}
	return d
}

func (d chapDocument) chap() onevolume.CHAP {
	c := onevolume.CHAP{User: d.User.Text, UserIn: d.UserIn.Text}
	if d.Secret != nil {
		c.Secret = d.Secret.Text
	}
	if d.SecretIn != nil {
		c.SecretIn = d.SecretIn.Text
	}
	return c
}

// volumeToXML makes a volume's document; secrets says whether the CHAP
// secrets go in.
func volumeToXML(v *onevolume.Volume, secrets bool) volumeDocument {
	d := volumeDocument{
		ID: int(v.ID), UID: v.Owner.UID, GID: v.Owner.GID, UName: v.Owner.User, GName: v.Owner.Group, Name: v.Name,
		Permissions: permissionsToXML(v.Permissions),
		State:       v.State.Number(), Status: string(v.State), Reason: cdata{v.Reason},
		Size: v.Size.MB(), SizeBytes: int64(v.Size),
		IQN: string(v.Target.IQN), LUN: int(v.Target.LUN), Portals: onevolume.JoinPortals(v.Target.Portals),
		Array: cdata{v.Array}, ArrayID: v.ArrayID, UnitSerial: cdata{v.Identity.Serial}, WWID: cdata{v.Identity.WWID},
		CHAP: chapToXML(v.Target.CHAP, secrets),
		VMID: int(v.Attachment.VM), Host: v.Attachment.Host, Device: v.Attachment.Device,
		Source: cdata{v.Attachment.Source}, Serial: v.Attachment.Serial,
		HomeUID: v.Home.UID, HomeGID: v.Home.GID, Operation: v.Operation,
		RegTime: v.Registered.Unix(), ModTime: v.Modified.Unix(), Version: v.Version,
	}
	if v.Lock.Level != onevolume.NoLock {
		d.Lock = &lockDocument{int(v.Lock.Level), v.Lock.UID, v.Lock.Time.Unix(), -1}
	}
	if v.Disabled {
		d.Disabled = 1
	}
	for _, name := range sortedKeys(v.Attributes) {
		d.Template.Attributes = append(d.Template.Attributes, attribute{xml.Name{Local: name}, v.Attributes[name]})
	}
	return d
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// volume reads the document back. What a newer daemon adds is passed over.
func (d *volumeDocument) volume() (onevolume.Volume, error) {
	portals, err := onevolume.ParsePortals(d.Portals)
	if err != nil {
		return onevolume.Volume{}, fmt.Errorf("VOLUME %d: %w", d.ID, err)
	}
	v := onevolume.Volume{
		ID: onevolume.VolumeID(d.ID), Name: d.Name,
		Owner:       onevolume.Owner{UID: d.UID, GID: d.GID, User: d.UName, Group: d.GName},
		Home:        onevolume.Owner{UID: d.HomeUID, GID: d.HomeGID},
		Permissions: d.Permissions.permissions(),
		State:       onevolume.State(d.Status), Reason: d.Reason.Text,
		Size:   onevolume.Size(d.SizeBytes),
		Target: onevolume.Target{IQN: onevolume.IQN(d.IQN), LUN: onevolume.LUN(d.LUN), Portals: portals, CHAP: d.CHAP.chap()},
		Array:  d.Array.Text, ArrayID: d.ArrayID,
		Identity: onevolume.Identity{Serial: d.UnitSerial.Text, WWID: d.WWID.Text},
		Attachment: onevolume.Attachment{VM: onevolume.VMID(d.VMID), Host: d.Host, Device: d.Device,
			Source: d.Source.Text, Serial: d.Serial},
		Operation:  d.Operation,
		Registered: time.Unix(d.RegTime, 0), Modified: time.Unix(d.ModTime, 0), Version: d.Version,
	}
	v.Disabled = d.Disabled != 0
	if l := d.Lock; l != nil {
		v.Lock = onevolume.Lock{Level: onevolume.LockLevel(l.Locked), UID: l.Owner, Time: time.Unix(l.Time, 0)}
	}
	if len(d.Template.Attributes) > 0 {
		v.Attributes = map[string]string{}
		for _, a := range d.Template.Attributes {
			v.Attributes[a.XMLName.Local] = a.Value
		}
	}
	return v, nil
}

// marshal prints a document as oned does: no declaration, no indentation.
// Characters that XML cannot hold, such as those with which a command colours
// its words, become U+FFFD: encoding/xml lets them pass in CDATA, and then
// nobody could read the document.
func marshal(v any) (string, error) {
	b, err := xml.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("XML document: %w", err)
	}
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r != 0xFFFE && r != 0xFFFF {
			return r
		}
		return utf8.RuneError
	}, string(b)), nil
}

// unmarshal reads a document that a peer sent; its error has the code Invalid.
func unmarshal(text string, v any) error {
	d := xml.NewDecoder(strings.NewReader(text))
	if err := d.Decode(v); err != nil {
		return onevolume.Errorf(onevolume.Invalid, "XML document: %w", err)
	}
	return nil
}

type poolDocument struct {
	XMLName xml.Name         `xml:"VOLUME_POOL"`
	Volumes []volumeDocument `xml:"VOLUME"`
}
