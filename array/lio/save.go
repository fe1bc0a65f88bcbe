package lio

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"onevolume"
	"onevolume/array"
	"onevolume/array/linux"
	"onevolume/command"
)

// The file that rtslib restores at boot (saveconfig.json(5)). Only our entries
// are changed; all others stay as they are. That is why it is not the kernel's state that is saved, as targetcli does: after a boot at
// which a disk of somebody's was missing, the kernel has less than the file.
type document map[string]json.RawMessage

// storageObject is an entry of storage_objects.
type storageObject struct {
	Plugin     string         `json:"plugin"`
	Name       string         `json:"name"`
	Dev        string         `json:"dev"`
	WWN        string         `json:"wwn"`
	ReadOnly   bool           `json:"readonly"`
	WriteBack  bool           `json:"write_back"`
	Attributes map[string]any `json:"attributes"`
}

// savedTarget is an entry of targets.
type savedTarget struct {
	Fabric string     `json:"fabric"`
	WWN    string     `json:"wwn"`
	TPGs   []savedTPG `json:"tpgs"`
}

type savedTPG struct {
	Tag        int            `json:"tag"`
	Enable     bool           `json:"enable"`
	Attributes map[string]any `json:"attributes"`
	Parameters map[string]any `json:"parameters"`
	LUNs       []savedLUN     `json:"luns"`
	Portals    []savedPortal  `json:"portals"`
	ACLs       []savedACL     `json:"node_acls"`
}

type savedLUN struct {
	Index   int    `json:"index"`
	Storage string `json:"storage_object"`
	Alias   string `json:"alias"`
}

type savedPortal struct {
	Address string `json:"ip_address"`
	Port    int    `json:"port"`
	ISER    bool   `json:"iser"`
	Offload bool   `json:"offload"`
}

type savedACL struct {
	Initiator      string        `json:"node_wwn"`
	User           string        `json:"chap_userid"`
	Password       string        `json:"chap_password"`
	MutualUser     string        `json:"chap_mutual_userid,omitempty"`
	MutualPassword string        `json:"chap_mutual_password,omitempty"`
	Mapped         []savedMapped `json:"mapped_luns"`
}

type savedMapped struct {
	Index        int    `json:"index"`
	TPGLUN       int    `json:"tpg_lun"`
	WriteProtect bool   `json:"write_protect"`
	Alias        string `json:"alias"`
}

// saved is what the file has of one volume; nil pointers for nothing.
type saved struct {
	storage *storageObject
	target  *savedTarget
}

// grant adds an initiator, or replaces its credentials.
func (s *saved) grant(t *target, u linux.Unit, g array.Grant) {
	s.storage = &storageObject{
		Plugin: "block", Name: u.ID.Name(), Dev: u.Device, WWN: serial(u.ID), Attributes: map[string]any{"emulate_tpu": 1},
	}
	var acls []savedACL
	if s.target != nil && len(s.target.TPGs) > 0 {
		acls = s.target.TPGs[0].ACLs
	}
	acls = slices.DeleteFunc(acls, func(a savedACL) bool { return a.Initiator == string(g.Initiator) })
	acls = append(acls, savedACL{
		Initiator: string(g.Initiator), User: g.CHAP.User, Password: g.CHAP.Secret,
		MutualUser: g.CHAP.UserIn, MutualPassword: g.CHAP.SecretIn,
		Mapped: []savedMapped{{Alias: u.ID.Name()}},
	})
	slices.SortFunc(acls, func(a, b savedACL) int { return strings.Compare(a.Initiator, b.Initiator) })
	tpg := savedTPG{
		Tag: 1, Enable: true,
		Attributes: map[string]any{
			"authentication": 1, "generate_node_acls": 0, "cache_dynamic_acls": 0, "demo_mode_write_protect": 1, "demo_mode_discovery": 0,
		},
		Parameters: map[string]any{"AuthMethod": "CHAP"},
		LUNs:       []savedLUN{{Storage: "/backstores/block/" + u.ID.Name(), Alias: u.ID.Name()}},
		ACLs:       acls,
	}
	for _, p := range t.opt.Portals {
		address := p.Addr().String()
		if p.Addr().Is6() {
			address = "[" + address + "]"
		}
		tpg.Portals = append(tpg.Portals, savedPortal{Address: address, Port: int(p.Port())})
	}
	s.target = &savedTarget{Fabric: "iscsi", WWN: string(t.iqn(u.ID)), TPGs: []savedTPG{tpg}}
}

// revoke takes an initiator out; the last one takes everything along.
func (s *saved) revoke(initiator onevolume.IQN) {
	if s.target != nil && len(s.target.TPGs) > 0 {
		acls := &s.target.TPGs[0].ACLs
		*acls = slices.DeleteFunc(*acls, func(a savedACL) bool { return a.Initiator == string(initiator) })
		if len(*acls) > 0 {
			return
		}
	}
	s.storage, s.target = nil, nil
}

// attempts is how often the file is read anew when somebody else wrote it
// meanwhile.
const attempts = 5

// save changes what the file has of the volume, and leaves it alone when that
// is so already.
func (t *target) save(ctx context.Context, o *linux.Op, id array.ID, change func(*saved)) error {
	for range attempts {
		r, err := o.Do(ctx, linux.Script(NameRead, readScript, true, t.opt.Save))
		if err != nil {
			return err
		}
		sum, old, ok := bytes.Cut(r.Stdout, []byte("\n"))
		if !ok {
			return o.Fail(array.Refused, "%s could not be read", t.opt.Save)
		}
		text, err := t.edit(old, id, change)
		if err != nil {
			return o.Fail(array.Refused, "%s: %w", t.opt.Save, err).
				WithHint("the export is in force, but would be lost at the next boot: put the file right, or away, and do the same again")
		}
		if bytes.Equal(text, old) {
			return nil
		}
		c := linux.Script(NameWrite, writeScript, false, t.opt.Save, string(sum))
		c.Stdin = command.Secret(text)
		if r, err = o.Do(ctx, c, exitNotAsWas); err != nil || r.Code == 0 {
			return err
		}
	}
	return o.Fail(array.Transient, "%s is being changed by somebody else all the time", t.opt.Save)
}

// edit gives the file's new text.
func (t *target) edit(old []byte, id array.ID, change func(*saved)) ([]byte, error) {
	doc := document{}
	if len(bytes.TrimSpace(old)) > 0 {
		if err := json.Unmarshal(old, &doc); err != nil {
			return nil, err
		}
	}
	if doc == nil { // the file says null
		doc = document{}
	}
	var s saved
	storage, at, err := pick(doc["storage_objects"], &s.storage, func(o *storageObject) bool {
		return o.Plugin == "block" && o.Name == id.Name()
	})
	if err != nil {
		return nil, fmt.Errorf("storage_objects: %w", err)
	}
	targets, place, err := pick(doc["targets"], &s.target, func(g *savedTarget) bool {
		return g.Fabric == "iscsi" && g.WWN == string(t.iqn(id))
	})
	if err != nil {
		return nil, fmt.Errorf("targets: %w", err)
	}
	before, err := json.Marshal([]any{s.storage, s.target})
	if err != nil {
		return nil, err
	}
	change(&s)
	if after, err := json.Marshal([]any{s.storage, s.target}); err != nil || bytes.Equal(before, after) {
		return old, err
	}
	if doc["storage_objects"], err = put(storage, at, s.storage); err != nil {
		return nil, err
	}
	if doc["targets"], err = put(targets, place, s.target); err != nil {
		return nil, err
	}
	if doc["fabric_modules"] == nil {
		doc["fabric_modules"] = json.RawMessage("[]")
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err = e.Encode(doc)
	return text.Bytes(), err
}

// pick reads a list, and takes the entry out of it that is ours; at is where
// it stood, or the list's end.
func pick[T any](raw json.RawMessage, entry **T, ours func(*T) bool) (rest []json.RawMessage, at int, err error) {
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &rest); err != nil {
			return nil, 0, err
		}
	}
	for i, one := range rest {
		v := new(T)
		// An entry of another shape is somebody else's.
		if json.Unmarshal(one, v) == nil && ours(v) {
			*entry = v
			return slices.Delete(rest, i, i+1), i, nil
		}
	}
	return rest, len(rest), nil
}

// put puts the entry back, if there is one.
func put[T any](list []json.RawMessage, at int, entry *T) (json.RawMessage, error) {
	if entry != nil {
		one, err := json.Marshal(entry)
		if err != nil {
			return nil, err
		}
		list = slices.Insert(list, at, one)
	}
	if list == nil {
		list = []json.RawMessage{}
	}
	return json.Marshal(list)
}
