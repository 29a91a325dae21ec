"""Rules of the house that a linter does not know, each proved on a planted violation."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import core
import gui

ROOT = Path(core.__file__).parents[1]
CORE, GUI = Path(core.__file__).parent, Path(gui.__file__).parent
Finder = Callable[[ast.Module], Iterator[ast.AST]]


def calls(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    """Calls of a function or method by its last name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and last_name(node.func) in names:
            yield node


def last_name(node: ast.AST) -> str:
    return getattr(node, "attr", getattr(node, "id", ""))


def last_name_called(node: ast.AST) -> str:
    return last_name(node.func) if isinstance(node, ast.Call) else ""


def dotted(node: ast.AST) -> str:
    """`subprocess.run` for the expression subprocess.run."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return getattr(node, "id", "")


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((k.value for k in call.keywords if k.arg == name), None)


def is_text(node: ast.AST | None, value: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == value


def is_constant(node: ast.AST | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def names(tree: ast.AST, *wanted: str) -> Iterator[ast.AST]:
    """Every mention of a name, as an attribute, a variable or an import."""
    for node in ast.walk(tree):
        mentioned = {last_name(node)} if isinstance(node, ast.Name | ast.Attribute) else set()
        if isinstance(node, ast.ImportFrom | ast.Import):
            mentioned = {alias.name.rpartition(".")[2] for alias in node.names}
        if mentioned & set(wanted):
            yield node


def no_locale_spin_boxes(tree: ast.Module) -> Iterator[ast.AST]:
    """QDoubleSpinBox reads 2e-4 as 24 and obeys the locale: learning rates go elsewhere."""
    yield from names(tree, "QDoubleSpinBox")


def no_rich_text(tree: ast.Module) -> Iterator[ast.AST]:
    """Markup in a label shows files of the computer and opens addresses."""
    yield from names(tree, "RichText", "AutoText", "MarkdownText", "setOpenExternalLinks")
    yield from calls(tree, "setHtml", "setMarkdown", "insertHtml", "appendHtml")


def no_rich_views(tree: ast.Module) -> Iterator[ast.AST]:
    """These show markup in whatever they are given; FittedText and QPlainTextEdit do not."""
    yield from names(tree, "QTextBrowser", "QErrorMessage", "QProgressDialog", "QWizardPage")
    for call in calls(tree, "append", "setText"):
        if dotted(call.func).startswith("QTextEdit."):
            yield call


def no_bare_item_tips(tree: ast.Module) -> Iterator[ast.AST]:
    """The tool tip of an item in a list is taken for HTML as well."""
    for call in calls(tree, "setData", "setItemData"):
        told = [given for given in call.args if last_name(given) == "ToolTipRole"]
        if told and not any(last_name_called(given) == "tip" for given in call.args):
            yield call


def no_bare_labels(tree: ast.Module) -> Iterator[ast.AST]:
    """A QLabel guesses whether its text is markup; PlainLabel does not."""
    for call in calls(tree, "QLabel"):
        if call.args and not isinstance(call.args[0], ast.Name):
            yield call


def no_static_message_boxes(tree: ast.Module) -> Iterator[ast.AST]:
    """They block, and they take markup."""
    for call in calls(tree, "information", "warning", "critical", "question", "about"):
        if dotted(call.func).startswith("QMessageBox."):
            yield call


def no_bare_tips(tree: ast.Module) -> Iterator[ast.AST]:
    """Tool tips are taken for HTML: text that is not constant passes gui.text.tip."""
    for call in calls(tree, "setToolTip", "setWhatsThis"):
        given = call.args[0]
        choices = [given.body, given.orelse] if isinstance(given, ast.IfExp) else [given]
        if not all(isinstance(c, ast.Constant) or last_name_called(c) == "tip" for c in choices):
            yield call


def no_own_threads(tree: ast.Module) -> Iterator[ast.AST]:
    """Short work goes through Task, long work is a run."""
    yield from names(tree, "Thread", "ThreadPoolExecutor", "ProcessPoolExecutor")


def no_blocking_dialogs(tree: ast.Module) -> Iterator[ast.AST]:
    """A nested event loop lets anything happen in the middle of a function."""
    for call in calls(tree, "exec", "exec_"):
        owner = dotted(call.func).lower()
        if any(word in owner for word in ("box", "dialog", "menu")):
            yield call


def no_settings_pickles(tree: ast.Module) -> Iterator[ast.AST]:
    """QSettings stores Python objects as pickles."""
    yield from names(tree, "QSettings")


def no_foreign_code(tree: ast.Module) -> Iterator[ast.AST]:
    """A model or dataset must never bring code of its own."""
    for node in ast.walk(tree):
        said: list[ast.expr] = []
        if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
            said = [node.value]
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            said = [value for key, value in pairs if is_text(key, "trust_remote_code")]
        yield from (value for value in said if not is_constant(value, False))


_CONSENTS = {"trust_remote_code": False, "local_files_only": True}
_LOADED = _CONSENTS | {"use_safetensors": True}
_NO_WEIGHTS = ("AutoConfig", "AutoTokenizer")


def no_silence_about_code(tree: ast.Module) -> Iterator[ast.AST]:
    """A library that is not told asks on a terminal, the network, or opens pickles.

    PEFT's own classes know none of these words; core/engine/adapters.py opens what was screened.
    """
    for call in calls(tree, "from_pretrained", "from_config"):
        owner = last_name(getattr(call.func, "value", call.func))
        wanted: dict[str, bool] = _CONSENTS if owner in _NO_WEIGHTS else _LOADED
        if last_name(call.func) == "from_config":
            wanted = {"trust_remote_code": False}
        said = all(is_constant(keyword(call, name), value) for name, value in wanted.items())
        if not said and not owner.startswith("Peft"):
            yield call


def no_templates_of_our_own(tree: ast.Module) -> Iterator[ast.AST]:
    """A stranger's template is rendered by the tokenizer, which does so in a sandbox."""
    for node in ast.walk(tree):
        taken = []
        if isinstance(node, ast.ImportFrom):
            taken = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            taken = [alias.name for alias in node.names]
        ours = (name for name in taken if name.partition(".")[0] == "jinja2")
        if not all(name.endswith("Error") for name in ours):
            yield node


def no_inherited_stdin(tree: ast.Module) -> Iterator[ast.AST]:
    """A child that reads the terminal hangs for ever in a window."""
    for call in calls(tree, "Popen", "run", "call", "check_call", "check_output"):
        if dotted(call.func).startswith("subprocess."):
            stdin = keyword(call, "stdin")
            if stdin is None or not dotted(stdin).endswith(("DEVNULL", "PIPE")):
                yield call


_SHELLS = ("os.system", "os.popen")


def no_shell(tree: ast.Module) -> Iterator[ast.AST]:
    """A file name may hold a semicolon."""
    for node in ast.walk(tree):
        asked = isinstance(node, ast.keyword) and node.arg == "shell"
        if asked or (isinstance(node, ast.Call) and dotted(node.func) in _SHELLS):
            yield node


def no_pickles(tree: ast.Module) -> Iterator[ast.AST]:
    """Reading a pickle runs whatever its writer wanted."""
    unsafe = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            if any(alias.name.partition(".")[0] in unsafe for alias in node.names):
                yield node
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in unsafe:
            yield node
    for call in calls(tree, "load"):
        if dotted(call.func) == "torch.load" and not is_constant(
            keyword(call, "weights_only"), True
        ):
            yield call
    for call in calls(tree, "load", "load_all", "full_load", "unsafe_load"):
        if dotted(call.func).startswith("yaml."):
            yield call


_EVALUATORS = ("eval", "exec", "compile", "__import__")


def no_evaluation(tree: ast.Module) -> Iterator[ast.AST]:
    """Text is never run as Python."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and dotted(node.func) in _EVALUATORS:
            yield node


def no_listening(tree: ast.Module) -> Iterator[ast.AST]:
    """No process of the product opens a port."""
    for node in ast.walk(tree):
        found = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            found = [node.module]
        if any(name.partition(".")[0] in ("socketserver", "asyncio", "flask") for name in found):
            yield node
        if any(name.startswith("http.server") for name in found):
            yield node
    for call in calls(tree, "listen"):
        if call.args or call.keywords:  # a socket takes its backlog, ours take nothing
            yield call
    yield from names(tree, "QTcpServer", "QLocalServer")


EVERYWHERE: tuple[Finder, ...] = (
    no_foreign_code, no_silence_about_code, no_templates_of_our_own, no_inherited_stdin, no_shell,
    no_pickles, no_evaluation, no_listening,
)  # fmt: skip
IN_THE_WINDOW: tuple[Finder, ...] = (
    no_locale_spin_boxes, no_rich_text, no_rich_views, no_bare_item_tips, no_bare_labels,
    no_static_message_boxes, no_bare_tips,
    no_own_threads, no_blocking_dialogs, no_settings_pickles,
)  # fmt: skip
PLANTED: tuple[tuple[Finder, str, str], ...] = (
    (no_locale_spin_boxes, "from PySide6.QtWidgets import QDoubleSpinBox", "QSpinBox()"),
    (no_locale_spin_boxes, "box = QtWidgets.QDoubleSpinBox()", "box = RateEdit()"),
    (no_rich_text, "label.setTextFormat(Qt.TextFormat.RichText)",
     "label.setTextFormat(Qt.TextFormat.PlainText)"),
    (no_rich_text, "label.setOpenExternalLinks(True)", "label.setWordWrap(True)"),
    (no_rich_text, "view.setHtml(text)", "view.setPlainText(text)"),
    (no_rich_views, "view = QTextBrowser()", "view = FittedText('x')"),
    (no_rich_views, "QTextEdit.append(view, text)", "QPlainTextEdit.appendPlainText(view, text)"),
    (no_bare_item_tips, "box.setItemData(0, text, Qt.ItemDataRole.ToolTipRole)",
     "box.setItemData(0, tip(text), Qt.ItemDataRole.ToolTipRole)"),
    (no_bare_labels, "QLabel(f'{path}')", "QLabel(parent)"),
    (no_bare_labels, "QLabel('Rank')", "PlainLabel('Rank')"),
    (no_static_message_boxes, "QMessageBox.warning(self, 'Title', text)", "log.warning(text)"),
    (no_bare_tips, "button.setToolTip(problem.text)", "button.setToolTip(tip(problem.text))"),
    (no_bare_tips, "button.setToolTip(f'<b>{x}</b>')", "button.setToolTip('Open')"),
    (no_own_threads, "threading.Thread(target=work).start()", "Task(self, work).start()"),
    (no_blocking_dialogs, "dialog.exec()", "dialog.open()"),
    (no_blocking_dialogs, "self.message_box.exec()", "app.exec()"),
    (no_settings_pickles, "QSettings('a', 'b')", "save_looks(looks)"),
    (no_foreign_code, "load(x, trust_remote_code=True)", "load(x, trust_remote_code=False)"),
    (no_foreign_code, "load(x, trust_remote_code=chosen)", "load(x)"),
    (no_foreign_code, "options = {'trust_remote_code': True}",
     "options = {'trust_remote_code': False}"),
    (no_silence_about_code, "AutoTokenizer.from_pretrained(folder, local_files_only=True)",
     "AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)"),
    (no_silence_about_code, "AutoConfig.from_pretrained(folder, trust_remote_code=None)",
     "PeftConfig.from_pretrained(folder)"),
    (no_silence_about_code,
     "kind.from_pretrained(f, trust_remote_code=False, local_files_only=True)",
     "kind.from_pretrained(f, trust_remote_code=False, local_files_only=True, "
     "use_safetensors=True)"),
    (no_silence_about_code, "AutoModelForCausalLM.from_config(config)",
     "AutoModelForCausalLM.from_config(config, trust_remote_code=False)"),
    (no_templates_of_our_own, "from jinja2 import Environment", "from jinja2 import TemplateError"),
    (no_templates_of_our_own, "from jinja2.sandbox import SandboxedEnvironment",
     "tokenizer.apply_chat_template(rows)"),
    (no_templates_of_our_own, "import jinja2", "import json"),
    (no_inherited_stdin, "subprocess.run(['ls'])",
     "subprocess.run(['ls'], stdin=subprocess.DEVNULL)"),
    (no_inherited_stdin, "subprocess.Popen(['ls'], stdin=None)",
     "subprocess.Popen(['ls'], stdin=subprocess.DEVNULL)"),
    (no_inherited_stdin, "subprocess.Popen(['cat'], stdin=sys.stdin)",
     "subprocess.Popen(['cat'], stdin=subprocess.PIPE)"),
    (no_shell, "subprocess.run(command, shell=True)", "subprocess.run(command)"),
    (no_shell, "os.system(command)", "os.replace(a, b)"),
    (no_pickles, "import pickle", "import json"),
    (no_pickles, "from joblib import load", "from json import load"),
    (no_pickles, "torch.load(path)", "torch.load(path, weights_only=True)"),
    (no_pickles, "torch.load(path, weights_only=False)", "load_file(path)"),
    (no_pickles, "yaml.load(text, Loader=yaml.Loader)", "yaml.safe_load(text)"),
    (no_evaluation, "eval(text)", "model.eval()"),
    (no_evaluation, "exec(text)", "app.exec()"),
    (no_listening, "import http.server", "import http.client"),
    (no_listening, "sock.listen(1)", "wishes.hear(insist, busy)"),
)  # fmt: skip


CONSENTED = CORE / "engine" / "own_reward.py"
"""Runs a file of the user's own, whose hash the user has consented to."""


def sources(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


@functools.cache
def parsed(path: Path) -> ast.Module:
    """Each file is read once for all rules."""
    return ast.parse(path.read_text(encoding="utf-8"))


def violations(rule: Finder, paths: list[Path]) -> list[str]:
    found = []
    for path in paths:
        for node in rule(parsed(path)):
            line = getattr(node, "lineno", getattr(getattr(node, "value", None), "lineno", 0))
            found.append(f"{path.relative_to(ROOT)}:{line}")
    return found


@pytest.mark.parametrize("rule", EVERYWHERE, ids=lambda rule: rule.__name__)
def test_rule_holds_everywhere(rule: Finder) -> None:
    exempt = [CONSENTED] if rule is no_evaluation else []
    paths = [path for path in sources(CORE, GUI) if path not in exempt]
    assert violations(rule, paths) == [], rule.__doc__


@pytest.mark.parametrize("rule", IN_THE_WINDOW, ids=lambda rule: rule.__name__)
def test_rule_holds_in_the_window(rule: Finder) -> None:
    assert violations(rule, sources(GUI)) == [], rule.__doc__


@pytest.mark.parametrize(("rule", "wrong", "right"), PLANTED)
def test_rule_catches_what_it_is_for(rule: Finder, wrong: str, right: str) -> None:
    assert list(rule(ast.parse(wrong)))
    assert not list(rule(ast.parse(right)))


def test_every_rule_was_tried_on_a_violation() -> None:
    assert {rule for rule, _, _ in PLANTED} == {*EVERYWHERE, *IN_THE_WINDOW}


def test_files_stay_short() -> None:
    long = [p for p in sources(CORE, GUI) if len(p.read_text(encoding="utf-8").splitlines()) > 400]
    assert long == []


def test_functions_stay_short() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sources(CORE, GUI)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert long == []
