"""``--referrers``: what belongs to an image goes where the image goes."""

import click

with_referrers = click.option(
    "--referrers", "with_referrers", is_flag=True, help="Signatures, SBOMs, … belong to it, too"
)
