package openfiler_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"onevolume/openfiler/openfilertest"
)

// Pages with the lines by which the real ones are recognised, and nothing
// else of them.
const (
	targetsPage = `<?php
	set_include_path(dirname(__FILE__));
	include("ietIscsi.inc");
	$targetObjs = new IetIscsi();
	if ($_POST['addNewTgt'])
		$targetObjs->addTarget($target);
	if ($_POST['deleteTarget'])
		$targetObjs->delTarget($targetTarget);
	if ($_POST['mapNewLun'])
		$targetObjs->addLunToTarget($lun, $Target);
	if ($_POST['unmapLun'])
		$targetObjs->delLunFromTarget($path, $target);
	exit;
?>
<p>no newline at the end</p>`
	editPage = "<?php\r\n    require(\"ietIscsi.inc\");\r\n    $ietObj->resizeIscsiVolume($lvname, $newvolumesize);\r\n?>\r\n"
)

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// filer is an array's folder with the two pages.
type filer struct {
	*testing.T
	root, pages string
}

func newFiler(t *testing.T) *filer {
	t.Helper()
	php(t)
	f := &filer{T: t, root: t.TempDir()}
	f.pages = filepath.Join(f.root, "opt/openfiler/var/www/htdocs/admin")
	if err := os.MkdirAll(f.pages, 0o755); err != nil {
		t.Fatal(err)
	}
	f.page("volumes_iscsi_targets.html", targetsPage)
	f.page("volumes_edit.html", editPage)
	return f
}

func (f *filer) page(name, text string) { write(f.T, filepath.Join(f.pages, name), text) }

func (f *filer) read(name string) string {
	f.Helper()
	text, err := os.ReadFile(filepath.Join(f.root, name))
	if err != nil {
		f.Fatal(err)
	}
	return string(text)
}

func (f *filer) install(args ...string) (string, error) {
	out, err := exec.CommandContext(f.Context(), "./install.sh", append([]string{"--root", f.root}, args...)...).CombinedOutput()
	return string(out), err
}

// untouched asks that the folder of pages is as it was.
func (f *filer) untouched(targets, edit string) {
	f.Helper()
	const dir = "opt/openfiler/var/www/htdocs/admin/"
	if f.read(dir+"volumes_iscsi_targets.html") != targets || f.read(dir+"volumes_edit.html") != edit {
		f.Error("a page was changed")
	}
	if list, err := os.ReadDir(f.pages); err != nil || len(list) != 2 {
		f.Errorf("the pages are %v, %v", list, err)
	}
}

func TestInstall(t *testing.T) {
	f := newFiler(t)
	out, err := f.install()
	if err == nil || !strings.Contains(out, "is not that of Openfiler 2.99; look at it, and say --unknown") || !strings.Contains(out, "Nothing was changed.") {
		t.Errorf("unknown pages: %v: %s", err, out)
	}
	f.untouched(targetsPage, editPage)
	for range 2 { // the second time finds all done
		if out, err := f.install("--unknown"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		hook := "@include_once('" + f.root + "/opt/openfiler/onevolume/hook.inc'); /* onevolume */\n"
		f.untouched(strings.Replace(targetsPage, "ietIscsi.inc\");\n", "ietIscsi.inc\");\n"+hook, 1),
			strings.Replace(editPage, "ietIscsi.inc\");\r\n", "ietIscsi.inc\");\r\n"+hook, 1))
	}
	info, err := os.Stat(filepath.Join(f.root, "opt/openfiler/onevolume/onevolume.conf"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the configuration: %v, %v", info, err)
	}
	if cron := f.read("etc/cron.d/onevolume"); !strings.HasPrefix(cron, "*/5 * * * * root /") || !strings.HasSuffix(cron, "/onevolume.php --log\n") {
		t.Errorf("cron has %q", cron)
	}
	if hook := f.read("opt/openfiler/onevolume/hook.inc"); strings.Contains(hook, "@PHP@") {
		t.Errorf("the hook has no path of PHP: %s", hook)
	}
	write(t, filepath.Join(f.root, "opt/openfiler/onevolume/onevolume.conf"), "session = mine\n")
	if out, err := f.install(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if conf := f.read("opt/openfiler/onevolume/onevolume.conf"); conf != "session = mine\n" {
		t.Errorf("the configuration was overwritten: %q", conf)
	}
	for range 2 {
		if out, err := f.install("--remove"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		f.untouched(targetsPage, editPage)
	}
	for _, name := range []string{"etc/cron.d/onevolume", "opt/openfiler/onevolume/onevolume.php", "opt/openfiler/onevolume/hook.inc"} {
		if _, err := os.Stat(filepath.Join(f.root, name)); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	if conf := f.read("opt/openfiler/onevolume/onevolume.conf"); conf != "session = mine\n" {
		t.Errorf("the configuration is gone")
	}
}

func TestInstallRefuses(t *testing.T) {
	for what, change := range map[string][2]string{
		`include("ietIscsi.inc"); exactly once`:       {`include("ietIscsi.inc");`, `include("other.inc");`},
		`$targetObjs->addTarget( exactly once`:        {`$targetObjs->addTarget($target);`, "$targetObjs->addTarget($target);\n$targetObjs->addTarget($target);"},
		`$targetObjs->delLunFromTarget( exactly once`: {`$targetObjs->delLunFromTarget(`, `$x->delLunFromTarget(`},
		"cannot be patched so that it is PHP":         {"include(\"ietIscsi.inc\");\n", "include(\"ietIscsi.inc\"); /*\n*/ }\n"},
		"the line of onevolume more than once":        {"exit;", "/* onevolume */\n/* onevolume */\nexit;"},
	} {
		f := newFiler(t)
		bad := strings.Replace(targetsPage, change[0], change[1], 1)
		f.page("volumes_iscsi_targets.html", bad)
		out, err := f.install("--unknown")
		if err == nil || !strings.Contains(out, what) || !strings.Contains(out, "Nothing was changed.") {
			t.Errorf("%s: %v: %s", what, err, out)
		}
		f.untouched(bad, editPage)
		if _, err := os.Stat(filepath.Join(f.root, "etc")); !os.IsNotExist(err) {
			t.Errorf("%s: something was installed", what)
		}
	}
	f := newFiler(t)
	f.page("volumes_edit.html", "<?php\n")
	if out, err := f.install("--unknown"); err == nil || !strings.Contains(out, `volumes_edit.html does not have require("ietIscsi.inc"); exactly once`) {
		t.Errorf("another page: %v: %s", err, out)
	}
	f.untouched(targetsPage, "<?php\n")
	f.root = t.TempDir()
	if out, err := f.install(); err == nil || !strings.Contains(out, "is this an Openfiler?") {
		t.Errorf("no Openfiler: %v: %s", err, out)
	}
	if out, err := f.install("--what"); err == nil || !strings.Contains(out, "install.sh [--root DIR]") {
		t.Errorf("an unknown option: %v: %s", err, out)
	}
}

// A form that is sent to a page makes the hook push, as root by sudo, after
// the page has ended; a page that is only shown does not.
func TestHook(t *testing.T) {
	w, f := newWorld(t), newFiler(t)
	if out, err := f.install("--unknown"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	conf, err := os.ReadFile(w.conf)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(f.root, "opt/openfiler/onevolume/onevolume.conf"), string(conf))
	write(t, filepath.Join(f.pages, "ietIscsi.inc"), `<?php
class IetIscsi {
	function addTarget($t) { file_put_contents(getenv('TOUCHED'), "the page did its work"); }
}
`)
	bin := t.TempDir()
	pushed, touched := filepath.Join(bin, "pushed"), filepath.Join(bin, "touched")
	sudo := "#!/bin/sh\n\"$@\"\necho $? >" + pushed + ".new && mv " + pushed + ".new " + pushed + "\n"
	if err := os.WriteFile(filepath.Join(bin, "sudo"), []byte(sudo), 0o700); err != nil {
		t.Fatal(err)
	}
	send := func(method string) {
		t.Helper()
		// PHP's command line has the environment in $_SERVER, as a web server's
		// module has what was asked for.
		cmd := exec.CommandContext(t.Context(), w.php, "-d", "auto_prepend_file="+filepath.Join(bin, "post.php"), filepath.Join(f.pages, "volumes_iscsi_targets.html"))
		cmd.Env = append(append(os.Environ(), w.array.Env()...), "PATH="+bin+":"+strings.TrimPrefix(w.array.Env()[0], "PATH="),
			"REQUEST_METHOD="+method, "TOUCHED="+touched)
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "Warning") {
			t.Fatalf("%s: %v: %s", method, err, out)
		}
	}
	write(t, filepath.Join(bin, "post.php"), "<?php error_reporting(E_ALL ^ E_NOTICE ^ E_WARNING); $_POST = array('addNewTgt' => $_SERVER['REQUEST_METHOD'] === 'POST'); $target = 1;\n")
	send("GET")
	if _, err := os.Stat(filepath.Join(f.root, "opt/openfiler/onevolume/onevolume.conf.last")); !os.IsNotExist(err) {
		t.Errorf("a page that was only shown has pushed: %v", err)
	}
	send("POST")
	if text, err := os.ReadFile(touched); err != nil || len(text) == 0 {
		t.Errorf("the page did not do its work: %v", err)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if text, err := os.ReadFile(pushed); err == nil {
			if string(text) != "0\n" {
				t.Errorf("the push ended with %s", text)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatal("nothing was pushed")
		}
	}
	if v := w.volume(2); string(v.Target.IQN) != openfilertest.Prefix+"disk10" {
		t.Errorf("volume 2 is %+v", v)
	}
}
