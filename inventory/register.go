package inventory

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"strconv"

	"onevolume"
	"onevolume/template"
)

// The attributes of a volume's template that the inventory itself reads.
// Everything else is the users' own and is kept as it is.
const (
	attrName         = "NAME"
	attrIQN          = "IQN"
	attrLUN          = "LUN"
	attrPortals      = "PORTALS"
	attrSize         = "SIZE"
	attrArray        = "ARRAY"
	attrSerial       = "UNIT_SERIAL"
	attrWWID         = "WWID"
	attrCHAPUser     = "CHAP_USER"
	attrCHAPSecret   = "CHAP_SECRET"
	attrCHAPUserIn   = "CHAP_USER_IN"
	attrCHAPSecretIn = "CHAP_SECRET_IN"
)

// attributeName is what can be the name of an XML element and of a template's
// attribute alike.
var attributeName = regexp.MustCompile(`^[A-Z_][A-Z0-9_]{0,127}$`)

// CHAP secrets have 12 to 16 bytes for the sake of initiators and targets
// that take no others: shorter ones are refused by RFC 7143 §9.2.1 on an
// unprotected network, longer ones by some arrays. open-iscsi takes up to 255.
const (
	minSecret = 12
	maxSecret = 255
)

// notAllocated is what oned begins such errors with.
const notAllocated = "Error allocating a new volume. "

// Allocate registers a logical unit as a volume of the caller's. Only
// administrators may: whoever names an IQN makes hosts log in to it. The
// template needs NAME, IQN, PORTALS and SIZE (exact; MB unless it has a
// unit); LUN is 0 when absent. Codes: Forbidden, Internal (template syntax,
// as oned), Invalid (a value), Allocate (name, or registered already).
//
// Without IQN and PORTALS, the volume is made; see
// allocateOnArray.
func (s *Service) Allocate(ctx context.Context, who onevolume.Caller, text string) (onevolume.VolumeID, error) {
	if t, err := parse(text); err == nil && s.onArray(t) {
		return s.allocateOnArray(ctx, who, t)
	}
	if !who.IsAdmin() {
		return 0, onevolume.Errorf(onevolume.Forbidden, "User [%d] : Not authorized to perform CREATE VOLUME.", who.UID).
			WithHint("a volume is registered by oneadmin or by a storage machine")
	}
	t, err := parse(text)
	if err != nil {
		return 0, err
	}
	v := onevolume.Volume{State: onevolume.Available, Owner: who.Owner, Home: who.Owner, Permissions: who.NewPermissions(),
		Attachment: onevolume.Attachment{VM: onevolume.NoVM}}
	v.Name = t[attrName]
	if err := onevolume.CheckName(v.Name); err != nil {
		return 0, worded(notAllocated, onevolume.Allocate, err)
	}
	for _, must := range []string{attrIQN, attrPortals, attrSize} {
		if _, ok := t[must]; !ok {
			return 0, onevolume.Errorf(onevolume.Allocate, notAllocated+"No %s in template.", must)
		}
	}
	if v.Target.IQN, err = onevolume.ParseIQN(t[attrIQN]); err != nil {
		return 0, err
	}
	if lun, ok := t[attrLUN]; ok {
		n, err := strconv.Atoi(lun)
		if err != nil {
			return 0, onevolume.Errorf(onevolume.Invalid, "LUN %q: not a number", lun)
		}
		if v.Target.LUN, err = onevolume.ParseLUN(n); err != nil {
			return 0, err
		}
	}
	for _, own := range []string{attrName, attrIQN, attrLUN} {
		delete(t, own)
	}
	if err := apply(&v, t); err != nil {
		return 0, err
	}
	tuning := cutTuning(t)
	v.Attributes = t
	if err := s.ofType(&v, tuning); err != nil {
		return 0, err
	}
	id, err := s.Store.Allocate(ctx, v)
	return id, worded(notAllocated, onevolume.Allocate, err)
}

// Update replaces the volume's own attributes by the template's, or extends
// them by these. What the inventory reads itself (see Allocate; NAME, IQN and
// LUN cannot change) is left as it is when absent, and is for administrators
// and for volumes that are in no VM. A new size or target forgets nothing of
// the identity: give UNIT_SERIAL and WWID too, or empty ones, when the
// logical unit is another.
func (s *Service) Update(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, text string, mode onevolume.UpdateMode) error {
	if _, err := s.get(ctx, who, id, onevolume.Manage); err != nil {
		return err
	}
	if mode != onevolume.Replace && mode != onevolume.Append {
		return onevolume.Errorf(onevolume.Invalid, "Wrong update type")
	}
	t, err := parse(text)
	if err != nil {
		return worded("Cannot update template. ", onevolume.Internal, err)
	}
	for _, fixed := range []string{attrName, attrIQN, attrLUN} {
		if _, ok := t[fixed]; ok {
			return onevolume.Errorf(onevolume.Invalid, "%s cannot be changed by update", fixed).
				WithHint("rename changes the name; for another logical unit, delete the volume and create one")
		}
	}
	tuning := cutTuning(t)
	return s.Store.Update(ctx, id, func(v *onevolume.Volume) error {
		if err := who.Check(onevolume.Manage, v); err != nil {
			return err
		}
		own, system := split(t)
		if len(system) > 0 || changes(v, tuning) {
			if err := mayReshape(who, v); err != nil {
				return err
			}
			if err := apply(v, system); err != nil {
				return err
			}
		}
		if mode == onevolume.Replace || v.Attributes == nil {
			was := v.Attributes
			v.Attributes = map[string]string{}
			for k, value := range was { // these are not the user's to leave out
				if onevolume.Tuning(k) {
					v.Attributes[k] = value
				}
			}
		}
		for k, value := range own {
			v.Attributes[k] = value
		}
		return retune(v, tuning)
	})
}

// changes says whether the volume has other type and limits.
func changes(v *onevolume.Volume, tuning map[string]string) bool {
	for k, value := range tuning {
		if v.Attributes[k] != value {
			return true
		}
	}
	return false
}

// retune changes the volume's type and limits. A limit of 0, and an empty
// type, is none.
func retune(v *onevolume.Volume, tuning map[string]string) error {
	for k, value := range tuning {
		if v.Attributes[k] = value; value == "" || value == "0" {
			delete(v.Attributes, k)
		}
	}
	_, err := onevolume.ParseIOTune(v.Attributes)
	return err
}

// tuningOf are the type and the limits among attributes.
func tuningOf(t map[string]string) map[string]string {
	return cutTuning(maps.Clone(t))
}

// cutTuning takes type and limits out of a template.
func cutTuning(t map[string]string) map[string]string {
	tuning := map[string]string{}
	for k, v := range t {
		if onevolume.Tuning(k) {
			tuning[k] = v
			delete(t, k)
		}
	}
	return tuning
}

// mayReshape says whether the caller may change what the volume is.
func mayReshape(who onevolume.Caller, v *onevolume.Volume) error {
	if err := who.CheckLock(onevolume.Admin, v); err != nil {
		return err
	}
	if !who.IsAdmin() {
		return onevolume.Errorf(onevolume.Forbidden, "User [%d] : Not authorized to perform ADMIN VOLUME [%d].", who.UID, v.ID).
			WithHint("only oneadmin's group changes a volume's target, size and identity")
	}
	if !v.State.Free() && v.State != onevolume.Failed {
		return onevolume.Errorf(onevolume.Action, "Volume %d is %s; its target, size and identity cannot change now.", v.ID, v.State).
			WithHint("detach it first")
	}
	return nil
}

// worded puts what oned begins its error with before an error of that code.
func worded(beginning string, code onevolume.Code, err error) error {
	e, ok := errors.AsType[*onevolume.Error](err)
	if !ok || e.Code != code {
		return err
	}
	e.Msg = beginning + e.Msg
	return e
}

// parse reads a template of plain attributes.
func parse(text string) (map[string]string, error) {
	list, err := template.Parse(text)
	if err != nil {
		return nil, onevolume.Errorf(onevolume.Internal, "Parse error: %w", err)
	}
	t := make(map[string]string, len(list))
	for _, a := range list {
		_, twice := t[a.Key]
		switch {
		case a.Vector != nil:
			return nil, onevolume.Errorf(onevolume.Invalid, "attribute %s: a volume has no vector attributes", a.Key)
		case twice:
			return nil, onevolume.Errorf(onevolume.Invalid, "attribute %s is given twice", a.Key)
		case !attributeName.MatchString(a.Key):
			return nil, onevolume.Errorf(onevolume.Invalid, "attribute %q: a name is made of letters, digits and _", a.Key)
		}
		t[a.Key] = a.Value
	}
	return t, nil
}

// split parts the users' own attributes from those the inventory reads.
func split(t map[string]string) (own, system map[string]string) {
	own, system = map[string]string{}, map[string]string{}
	for k, v := range t {
		switch k {
		case attrPortals, attrSize, attrArray, attrSerial, attrWWID, attrCHAPUser, attrCHAPSecret, attrCHAPUserIn, attrCHAPSecretIn:
			system[k] = v
		default:
			own[k] = v
		}
	}
	return own, system
}

// apply takes the inventory's own attributes out of t and into the volume.
func apply(v *onevolume.Volume, t map[string]string) error {
	var err error
	if text, ok := t[attrPortals]; ok {
		if v.Target.Portals, err = onevolume.ParsePortals(text); err != nil {
			return err
		}
	}
	if text, ok := t[attrSize]; ok {
		if v.Size, err = onevolume.ParseSize(text); err != nil {
			return err
		}
	}
	for name, field := range map[string]*string{
		attrArray: &v.Array, attrSerial: &v.Identity.Serial, attrWWID: &v.Identity.WWID,
		attrCHAPUser: &v.Target.CHAP.User, attrCHAPSecret: &v.Target.CHAP.Secret,
		attrCHAPUserIn: &v.Target.CHAP.UserIn, attrCHAPSecretIn: &v.Target.CHAP.SecretIn,
	} {
		if text, ok := t[name]; ok {
			*field = text
		}
		delete(t, name)
	}
	delete(t, attrPortals)
	delete(t, attrSize)
	if err := checkText(attrArray, v.Array); err != nil {
		return err
	}
	return checkCHAP(v.Target.CHAP)
}

// checkCHAP refuses credentials that no initiator can use. The error never
// holds a secret.
func checkCHAP(c onevolume.CHAP) error {
	bad := func(format string, args ...any) error { return onevolume.Errorf(onevolume.Invalid, format, args...) }
	if c.UserIn != "" && c.User == "" {
		return bad("CHAP_USER_IN without CHAP_USER: a target proves itself only to an initiator that does")
	}
	for _, pair := range []struct{ name, user, secret string }{
		{"CHAP_SECRET", c.User, c.Secret}, {"CHAP_SECRET_IN", c.UserIn, c.SecretIn},
	} {
		if err := checkText(pair.name[:4]+"_USER", pair.user); err != nil {
			return err
		}
		switch {
		case (pair.user == "") != (pair.secret == ""):
			return bad("%s and its user go together: one of them is missing", pair.name)
		case pair.secret == "":
			continue
		case len(pair.secret) < minSecret || len(pair.secret) > maxSecret:
			return bad("%s has %d bytes; it must have %d to %d", pair.name, len(pair.secret), minSecret, maxSecret)
		case !printable(pair.secret):
			return bad("%s holds something else than printable ASCII without blanks", pair.name)
		}
	}
	if c.Secret != "" && c.Secret == c.SecretIn {
		return bad("CHAP_SECRET and CHAP_SECRET_IN are the same; the two directions need two secrets (RFC 7143 §9.2.1)")
	}
	return nil
}

// checkText refuses what would break a line of open-iscsi's node record, or
// a table.
func checkText(name, s string) error {
	if len(s) > 128 || s != "" && !printable(s) {
		return onevolume.Errorf(onevolume.Invalid, "%s %q: at most 128 printable ASCII characters without blanks", name, s)
	}
	return nil
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
