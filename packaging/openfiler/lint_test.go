package openfiler_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What is installed is in the language of PHP 5.2.
func TestLanguage(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), php(t), "lint52.php", "onevolume.php", "hook.inc").CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

// The linter refuses what PHP 5.2 does not have, each for its own sake.
func TestLinter(t *testing.T) {
	bad := map[string]string{
		"$a = [1];":                          "5.4",
		"$a = $b ?: 1;":                      "5.3",
		"$a = f()[0]; function f() { }":      "index on anything but a variable",
		"$f = function () { };":              "Expr_Closure",
		"namespace x;":                       "Stmt_Namespace",
		"use a\\b;":                          "Stmt_Use",
		"$a = \\strlen('x');":                "FullyQualified",
		"goto x; x: echo 1;":                 "Stmt_Goto",
		"echo __DIR__;":                      "MagicConst_Dir",
		"const X = 1;":                       "Stmt_Const",
		"$a = 0b11;":                         "5.4",
		"$a = <<<'X'\nx\nX;\n":               "heredoc",
		"try { } finally { }":                "finally",
		"function f() { yield 1; }":          "Expr_Yield",
		"function f(...$a) { }":              "5.6",
		"f(...$a); function f() { }":         "5.6",
		"$a = 2 ** 3;":                       "Pow",
		"foreach ($a as list($b)) { }":       "list() in foreach",
		"echo empty(f()); function f() { }":  "Expr_Empty",
		"$a = json_encode(1);":               "json_encode",
		"$a = array_replace($b);":            "array_replace",
		"$a = strstr($b, $c, true);":         "strstr",
		"$a = getenv('A', true);":            "getenv has at most 1",
		"$a = new DOMDocument('1', '2', 3);": "newer",
		"throw new Exception('a', 1, $e);":   "third argument",
		"$e->getPrevious();":                 "getPrevious",
		"(new X)->getMessage();":             "call on anything but a variable",
		"class A { use T; }":                 "members",
		"echo A::class;":                     "ClassConstFetch",
		"$f('x');":                           "what a variable holds",
		"echo ENT_HTML5;":                    "ENT_HTML5",
		"static::f();":                       "Expr_StaticCall",
		"$a = $b ?? 1;":                      "Coalesce",
		"function f(int $a): int { }":        "types of parameters",
		"try { } catch (A | B $e) { }":       "Syntax error",
		"$a = fn() => 1;":                    "Syntax error",
		"$a = match(1) { };":                 "Syntax error",
	}
	// One run for all; each file's complaints name it.
	args, dir := []string{"lint52.php"}, t.TempDir()
	files := map[string]string{}
	for code := range bad {
		files[code] = filepath.Join(dir, fmt.Sprintf("%d.php", len(files)))
		write(t, files[code], "<?php\n"+code+"\n")
		args = append(args, files[code])
	}
	out, err := exec.CommandContext(t.Context(), php(t), args...).CombinedOutput()
	if err == nil {
		t.Error("it says that all is well")
	}
	for code, want := range bad {
		said := ""
		for line := range strings.Lines(string(out)) {
			if strings.HasPrefix(line, files[code]+":") {
				said += line
			}
		}
		if !strings.Contains(said, want) {
			t.Errorf("%s: %q; want %q", code, said, want)
		}
	}
}
