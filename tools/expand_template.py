"""Expands template.yaml as CloudFormation would, offline; `python -m tools.expand_template` prints the result as JSON.

For linters and tests: a SAM template says little of the roles, routes and permissions that it makes.
"""

import argparse
import copy
import json
import sys
from pathlib import Path
from typing import Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.public.exceptions import InvalidDocumentException
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

SAM = "AWS::Serverless-2016-10-31"
_CODE = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}


def expand(template: dict[str, Any], *, region: str = "eu-west-1") -> dict[str, Any]:
    """The CloudFormation template that `template`, as yaml_parse reads it, becomes; with its parameters' defaults."""
    fragment = copy.deepcopy(template)
    for resource in fragment["Resources"].values():
        code = _CODE.get(resource["Type"])
        if code and code in resource["Properties"]:
            # `sam package` uploads the folder and writes such an address.
            resource["Properties"][code] = {"Bucket": "packaged", "Key": "code.zip"}
    # Without IAM's list of managed policies (a dict takes its place): this template writes its own.
    translator = Translator(None, Parser(), boto_session=boto3.Session(region_name=region))
    expanded: dict[str, Any] = translator.translate(fragment, {}, get_managed_policy_map=dict)
    transforms = template.get("Transform", [])
    others = [name for name in ([transforms] if isinstance(transforms, str) else transforms) if name != SAM]
    return ({"Transform": others} if others else {}) | expanded


def main() -> str | None:
    """Print the expanded template; answers what is wrong with it instead, if something is."""
    parser = argparse.ArgumentParser(prog="python -m tools.expand_template", description=__doc__)
    parser.add_argument("template", nargs="?", type=Path, default=Path("template.yaml"))
    path: Path = parser.parse_args().template
    try:
        expanded = expand(yaml_parse(path.read_text(encoding="utf-8")))
    except InvalidDocumentException as error:
        return "\n".join([f"{path}: {error.message}", *(cause.message for cause in error.causes)])
    json.dump(expanded, sys.stdout, indent=2)
    return None


if __name__ == "__main__":
    sys.exit(main())
