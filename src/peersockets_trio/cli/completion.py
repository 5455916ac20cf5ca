"""`peersockets completion`: prints a script that lets a shell complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_VARIABLE = "_PEERSOCKETS_COMPLETE"  # click's name for it


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that SHELL needs to complete commands, options and wires.

    \b
    bash, in ~/.bashrc:                       eval "$(peersockets completion bash)"
    zsh, in ~/.zshrc:                         eval "$(peersockets completion zsh)"
    fish, in ~/.config/fish/config.fish:      peersockets completion fish | source
    """
    root = ctx.find_root()
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"no completion for {shell}")
    click.echo(kind(root.command, {}, root.info_name or "peersockets", _VARIABLE).source())
