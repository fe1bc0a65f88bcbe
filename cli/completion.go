package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"onevolume"
)

func (a *App) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion <bash|zsh|fish>",
		Short: "Print what makes a shell complete this program's commands",
		Long: "make install puts it where the shell looks for it. By hand:\n\n" +
			"  bash  onevolume completion bash >/usr/share/bash-completion/completions/onevolume\n" +
			"  zsh   onevolume completion zsh >/usr/share/zsh/site-functions/_onevolume\n" +
			"  fish  onevolume completion fish >/usr/share/fish/vendor_completions.d/onevolume.fish",
		Args: arguments("bash|zsh|fish"),

		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				return bashCompletion(root, a.Out)
			case "zsh":
				return root.GenZshCompletion(a.Out)
			case "fish":
				return root.GenFishCompletion(a.Out, true)
			}
			return onevolume.Errorf(onevolume.Invalid, "there is no completion for %q", args[0]).WithHint("there is for bash, zsh and fish")
		},
	}
}

// bashCompletion is cobra's, but that lists with commas are completed: cobra
// compares what is typed with words in which bash's printf %q has put a
// backslash before each comma.
func bashCompletion(root *cobra.Command, w io.Writer) error {
	var b bytes.Buffer
	if err := root.GenBashCompletionV2(&b, true); err != nil {
		return err
	}
	script := b.String()
	for _, line := range []string{
		`|| comp=$(printf "%q" "${compline%%$tab*}")`,
		`COMPREPLY[0]=$(printf "%q" "${COMPREPLY[0]%%$tab*}")`,
	} {
		if strings.Count(script, line) != 1 {
			return fmt.Errorf("cobra's script for bash does not have the line %s once", line)
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "|| "), "=")
		script = strings.Replace(script, line, line+"\n        "+name+`=${`+name+`//\\,/,}`, 1)
	}
	_, err := io.WriteString(w, script)
	return err
}
