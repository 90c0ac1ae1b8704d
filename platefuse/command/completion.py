"""``platefuse completion``: scripts with which a shell completes commands, options and paths.

They are made from the parser when they are asked for, so they have what the command line has, and
typing Tab starts no Python.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_BASH = """\
# Completion of platefuse for bash. In ~/.bashrc: eval "$(platefuse completion bash)"
_platefuse() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" choices=""
    if [[ $COMP_CWORD -eq 1 ]]; then
        COMPREPLY=($(compgen -W "{commands} --help --version" -- "$word"))
        return
    fi
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
    COMPREPLY=($(compgen -W "$choices" -- "$word"))
    if [[ "$word" != -* ]]; then
        local IFS=$'\\n'
        COMPREPLY+=($(compgen -f -- "$word"))
    fi
}}
complete -o filenames -F _platefuse platefuse
"""

_ZSH = """\
# Completion of platefuse for zsh. In ~/.zshrc: eval "$(platefuse completion zsh)"
autoload -Uz compinit && (( ${{+functions[compdef]}} )) || compinit
_platefuse() {{
    local -a choices
    if (( CURRENT == 2 )); then
        choices=({commands})
        _describe command choices
        return
    fi
    case "${{words[2]}}" in
{cases}
    esac
    _describe option choices
    _files
}}
compdef _platefuse platefuse
"""

_FISH_HEAD = """\
# Completion of platefuse for fish. In config.fish: platefuse completion fish | source
complete -c platefuse -n __fish_use_subcommand -f
"""


@dataclass(frozen=True)
class Option:
    """An option of a command, or a value that its positional argument may have.

    Attributes
    ----------
    name : str
        What is typed.
    help : str
        What it does, in a line.
    """

    name: str
    help: str


OF_SNAKEMAKE = (
    Option("--cores", "number of cores"),
    Option("--dry-run", "list the jobs, run none"),
    Option("--forceall", "run all jobs again"),
    Option("--keep-going", "go on with other wells after an error"),
    Option("--profile", "how to run, for example slurm"),
    Option("--unlock", "remove the lock of a killed run"),
)
"""Options of Snakemake that are completed after ``platefuse run``."""

Options = Mapping[str, Sequence[Option]]
"""The options of each command."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.set_defaults(run=run)
    parser.add_argument("shell", choices=sorted(SHELLS), help="the shell")


def run(args: argparse.Namespace) -> None:
    """Print the script."""
    from platefuse.command.commands import make_parser

    print(SHELLS[args.shell](*read_parser(make_parser())), end="")


def read_parser(parser: argparse.ArgumentParser) -> tuple[Sequence[Option], Options]:
    """The commands of a parser, and the options of each."""
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    listed = [Option(a.dest, a.help or "") for a in commands._choices_actions]
    options = {name: _options(own) for name, own in commands.choices.items()}
    options["run"] += OF_SNAKEMAKE
    return listed, options


def _options(parser: argparse.ArgumentParser) -> list[Option]:
    found = []
    for action in parser._actions:
        found += [Option(s, action.help or "") for s in action.option_strings if s[:2] == "--"]
        if not action.option_strings and action.choices:
            found += [Option(str(choice), action.help or "") for choice in action.choices]
    return found


def bash(commands: Sequence[Option], options: Options) -> str:
    """The script for bash."""
    cases = [
        f'        {c}) choices="{" ".join(o.name for o in own)}" ;;' for c, own in options.items()
    ]
    return _BASH.format(commands=" ".join(c.name for c in commands), cases="\n".join(cases))


def zsh(commands: Sequence[Option], options: Options) -> str:
    """The script for zsh."""
    cases = [f"        {c}) choices=({_described(own)}) ;;" for c, own in options.items()]
    return _ZSH.format(commands=_described(commands), cases="\n".join(cases))


def _described(options: Sequence[Option]) -> str:
    words = [f"{o.name}:{o.help}".replace("\\", "").replace("'", "'\\''") for o in options]
    return " ".join(f"'{word}'" for word in words)


def fish(commands: Sequence[Option], options: Options) -> str:
    """The script for fish."""
    lines = [f"-n __fish_use_subcommand -a {c.name} -d {_quoted(c.help)}" for c in commands]
    for name, own in options.items():
        seen = f"-n '__fish_seen_subcommand_from {name}'"
        for option in own:
            is_option = option.name.startswith("--")
            what = f"-l {option.name[2:]}" if is_option else f"-f -a {option.name}"
            lines.append(f"{seen} {what} -d {_quoted(option.help)}")
    return _FISH_HEAD + "".join(f"complete -c platefuse {line}\n" for line in lines)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: Mapping[str, Callable[[Sequence[Option], Options], str]] = {
    "bash": bash,
    "fish": fish,
    "zsh": zsh,
}
"""What writes the script for each shell."""
