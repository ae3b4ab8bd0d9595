"""Print what completes the command in a shell.

bash:  eval "$(fastemb completion bash)"    in ~/.bashrc
zsh:   eval "$(fastemb completion zsh)"     in ~/.zshrc, behind compinit
fish:  fastemb completion fish | source     in ~/.config/fish/config.fish
"""

from __future__ import annotations

import argparse
from typing import Any

HELP = "print what completes the command in a shell"
SHELLS = ("bash", "zsh", "fish")


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("shell", choices=SHELLS)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from ..parser import make_parser

    commands = _commands(make_parser())
    print(_fish(commands) if args.shell == "fish" else _bash(commands, zsh=args.shell == "zsh"))
    return 0


def _commands(parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Return the commands: what is said of each, its options, and the words that an option or argument may be."""
    (found,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    said = {action.dest: action.help or "" for action in found._choices_actions}
    return {
        name: (
            said[name],
            [(action.option_strings, action.help or "", list(action.choices or [])) for action in command._actions],
        )
        for name, command in found.choices.items()
    }


def _bash(commands: dict[str, Any], zsh: bool) -> str:
    """Return a function of bash, which zsh runs too."""
    cases, words = [], []
    for name, (_, actions) in commands.items():
        options = [option for strings, _, _ in actions for option in strings]
        plain = [choice for strings, _, choices in actions if not strings for choice in choices]
        words.append(f"    {name}) words='{' '.join(options)}'; plain='{' '.join(map(str, plain))}' ;;")
        cases += [
            f"    {name}:{option}) COMPREPLY=($(compgen -W '{' '.join(map(str, choices))}' -- \"$word\")); return ;;"
            for strings, _, choices in actions
            for option in strings
            if choices
        ]
    lines = [
        "_fastemb() {",
        '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" words= plain=',
        '  if [ "$COMP_CWORD" -eq 1 ]; then',
        f"    COMPREPLY=($(compgen -W '{' '.join(commands)} --help --version' -- \"$word\")); return",
        "  fi",
        '  case "${COMP_WORDS[1]}:$before" in',
        *cases,
        "  esac",
        '  case "${COMP_WORDS[1]}" in',
        *words,
        "  esac",
        '  case "$word" in',
        '    -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;',
        '    *) COMPREPLY=($(compgen -W "$plain" -- "$word")) ;;',
        "  esac",
        "}",
        "complete -o default -F _fastemb fastemb",  # of a word that no list has, files
    ]
    return "\n".join(["autoload -U +X bashcompinit && bashcompinit"] * zsh + lines)


def _fish(commands: dict[str, Any]) -> str:
    lines = []
    for name, (said, actions) in commands.items():
        lines.append(f"complete -c fastemb -n __fish_use_subcommand -f -a {name} -d {_quoted(said)}")
        here = f"complete -c fastemb -n '__fish_seen_subcommand_from {name}'"
        for strings, words, choices in actions:
            options = "".join(f" -{'l ' + s[2:] if s.startswith('--') else 's ' + s[1:]}" for s in strings)
            values = f" -x -a '{' '.join(map(str, choices))}'" if choices else ""
            if options or choices:
                lines.append(f"{here}{options}{values} -d {_quoted(words.split(' (')[0])}")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
