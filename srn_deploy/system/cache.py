"""The folders of files that can be made or downloaded again: $SRN_CACHE, else the user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path

from srn_deploy.errors import OptionError

VARIABLE = "SRN_CACHE"


def engines_folder() -> Path:
    """$SRN_CACHE, else `engines/` of the checkout, else `engines/` of the user's cache folder."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "setup.cfg").is_file() and (checkout / "engines").is_dir():
        return checkout / "engines"
    return _of_user() / "engines"


def pulled_folder() -> Path:
    """`models/` of $SRN_CACHE, else of the user's cache folder, which all checkouts share."""
    return _named_or_of_user() / "models"


def compiled_folder() -> Path:
    """`openvino/` of $SRN_CACHE, else of the user's cache folder: models compiled for this CPU."""
    return _named_or_of_user() / "openvino"


def _named_or_of_user() -> Path:
    named = os.environ.get(VARIABLE)
    return Path(named) if named else _of_user()


def trials_folder() -> Path:
    """`trials/` of $SRN_CACHE, else of the user's cache folder: what was measured to recognise checkpoints."""
    return _named_or_of_user() / "trials"


def tuned_folder() -> Path:
    """`tuned/` of $SRN_CACHE, else of the user's cache folder: what was measured to be the fastest here."""
    return _named_or_of_user() / "tuned"


def external_folder() -> Path:
    """`external/` of $SRN_CACHE, else of the user's cache folder: graphs made of models from outside."""
    return _named_or_of_user() / "external"


def tried_graphs_folder() -> Path:
    """`graphs/` of $SRN_CACHE, else of the user's cache folder: which graphs were run here and ended well."""
    return _named_or_of_user() / "graphs"


def _of_user() -> Path:
    """Raises OptionError where the user has no home folder."""
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "srn-deploy"
    try:
        return Path.home() / ".cache" / "srn-deploy"
    except RuntimeError as error:
        raise OptionError("This user has no home folder, so there is no cache folder.",
                          remedy=f"Name a folder that you may write to in the variable {VARIABLE}.") from error
