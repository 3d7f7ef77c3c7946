"""What importing loads, and what it costs; each case in a process of its own."""

import json
import subprocess
import sys

import pytest

HEAVY = "jax jaxlib flax orbax optax torch transformers matplotlib pandas scipy networkx".split()
LANGUAGE = "llm_agents httpx openai tokenizers transformers torch vllm jinja2 safetensors".split()

PROBE = """
import json, resource, sys
{code}
used = resource.getrusage(resource.RUSAGE_SELF)
loaded = sorted({{name.partition(".")[0] for name in sys.modules}})
print(json.dumps({{"loaded": loaded, "cpu_s": used.ru_utime + used.ru_stime}}))
"""
HELP = """
import io, contextlib
from society.cli import main
sys.argv = ["society", *{arguments!r}]
shown = io.StringIO()
with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
    main()
assert {expected!r} in shown.getvalue(), shown.getvalue()
"""


def probe(code):
    """Run code in a fresh interpreter: packages loaded, and CPU seconds used."""
    child = subprocess.run(
        [sys.executable, "-c", PROBE.format(code=code)], capture_output=True, text=True
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout.splitlines()[-1])


def cli(*arguments, expected):
    """Code that runs the command line."""
    return HELP.format(arguments=arguments, expected=expected)


@pytest.mark.parametrize(
    "code",
    [
        "import society",
        "import society.scenario",
        "import society.frame",
        "import worlds.registry; worlds.registry.entries('policy')",
        cli("--help", expected="validate"),
        cli("run", "--help", expected="--seed"),
        cli("list", "--json", expected="donor_game"),
    ],
    ids=["society", "scenario", "frame", "registry", "--help", "run --help", "list"],
)
def test_looking_around_loads_no_arrays_models_or_plots(code):
    loaded = probe(code)["loaded"]
    assert not set(loaded) & set(HEAVY)


@pytest.mark.parametrize("package", ["rl_agents", "llm_agents", "llm_agents.backends"])
def test_packages_load_nothing_heavy_until_it_is_used(package):
    assert not set(probe(f"import {package}")["loaded"]) & {*HEAVY, "openai", "tokenizers", "vllm"}


@pytest.mark.parametrize(
    "code",
    [
        "import worlds",
        "from worlds import parallel_env, aec_env, make; parallel_env('matrix_game', rounds=2)",
        "import worlds.testing",
    ],
    ids=["import", "use", "testing"],
)
def test_worlds_need_no_language_package(code):
    loaded = set(probe(code)["loaded"])
    assert not loaded & set(LANGUAGE)
    assert not loaded & {"society", "rl_agents"}


def test_worlds_run_where_no_language_package_can_be_imported():
    block = f"for name in {LANGUAGE!r}: sys.modules[name] = None\n"
    play = "from worlds import parallel_env\nparallel_env('public_goods', rounds=1).reset(seed=0)"
    probe(block + play)


def test_help_is_quick():
    """Half a second on a quiet machine; CPU time of the child, with room for a busy one."""
    spent = min(probe(cli("--help", expected="validate"))["cpu_s"] for _ in range(3))
    assert spent < 0.5


def test_importing_society_costs_next_to_nothing():
    bare = min(probe("pass")["cpu_s"] for _ in range(2))
    society = min(probe("import society")["cpu_s"] for _ in range(2))
    assert society - bare < 0.1


def test_the_probe_sees_what_is_loaded():
    assert "xml" in probe("import xml.dom")["loaded"]
    assert "xml" not in probe("pass")["loaded"]
