package cli

import (
	"bufio"
	"fmt"
	"strings"

	"onevolume"
)

// unchanged is the error of whoever did not say yes.
func unchanged() error { return onevolume.Errorf(onevolume.Action, "Nothing was changed.") }

// canAsk refuses a command that must ask where nobody can answer.
func (a *App) canAsk(command string) error {
	if a.Terminal {
		return nil
	}
	return onevolume.Errorf(onevolume.Invalid, "%s asks before it acts, and there is no terminal to ask at", command).
		WithHint("say --yes in scripts")
}

// answer is what somebody types at a question.
func (a *App) answer(question string) string {
	fmt.Fprint(a.Err, question)
	text, err := bufio.NewReader(a.In).ReadString('\n')
	if err != nil {
		fmt.Fprintln(a.Err)
	}
	return strings.TrimSpace(text)
}

// agree wants a yes.
func (a *App) agree(question string) error {
	switch strings.ToLower(a.answer(question + " (yes/no): ")) {
	case "y", "yes":
		return nil
	}
	return unchanged()
}
