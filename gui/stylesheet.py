"""The window's style sheet, written with the names of gui.tokens.Theme and of two images."""

from __future__ import annotations

from dataclasses import fields
from string import Template

from gui.tokens import Theme

_SHEET = Template("""
QWidget { font-family: "Inter"; font-size: 13px; color: $text; }
QMainWindow, QDialog, QMessageBox, #canvas { background: $window; }
QToolTip { background: $panel; color: $text; border: 1px solid $control; padding: 6px; }

#rail { background: $panel; border: none; border-right: 1px solid $line; }
#side { background: $panel; border: none; border-left: 1px solid $line; }
#footer { background: $panel; border: none; border-top: 1px solid $line; }
#sheet, #runs, #problems { background: transparent; border: none; }
QScrollArea { background: transparent; border: none; }

QAbstractScrollArea::corner { background: transparent; border: none; }

QLabel { background: transparent; }
QLabel[role="title"] { font-size: 22px; font-weight: 600; }
QLabel[role="heading"] { font-size: 14px; font-weight: 600; }
QLabel[role="strong"] { font-weight: 600; }
QLabel[role="figure"] { font-size: 26px; font-weight: 600; }
QLabel[role="brand"] { font-size: 15px; font-weight: 600; }
QLabel[role="muted"] { color: $muted; }
QLabel[role="small"] { color: $muted; font-size: 12px; }
QLabel[role="mono"] { font-family: "DejaVu Sans Mono", "Consolas", "Menlo", monospace;
    font-size: 12px; }
QLabel[role="ok"] { color: $ok; }
QLabel[role="warn"] { color: $warn; }
QLabel[role="bad"] { color: $bad; }

QFrame[kind="card"] { background: $panel; border: 1px solid $line; border-radius: 10px; }
QFrame[kind="notice"] { border: none; border-radius: 8px; }
QFrame[kind="notice"][level="ok"] { background: $ok_soft; }
QFrame[kind="notice"][level="note"] { background: $accent_soft; }
QFrame[kind="notice"][level="warn"] { background: $warn_soft; }
QFrame[kind="notice"][level="bad"] { background: $bad_soft; }
QFrame[kind="finding"] { background: transparent; border: none; border-top: 1px solid $line; }
QLabel[kind="chip"] { background: $raised; color: $muted; border-radius: 9px;
    padding: 2px 9px; font-size: 11px; font-weight: 500; }
QLabel[kind="chip"][level="ok"] { background: $ok_soft; color: $ok; }
QLabel[kind="chip"][level="note"] { background: $accent_soft; color: $accent; }
QLabel[kind="chip"][level="warn"] { background: $warn_soft; color: $warn; }
QLabel[kind="chip"][level="bad"] { background: $bad_soft; color: $bad; }

QPushButton { background: $panel; border: 1px solid $control; border-radius: 7px;
    padding: 6px 14px; min-height: 18px; font-weight: 500; }
QPushButton:hover { background: $raised; }
QPushButton:pressed { background: $accent_soft; }
QPushButton:focus { border: 2px solid $accent; padding: 5px 13px; }
QPushButton:disabled { color: $muted; border-color: $line; background: $raised; }
QPushButton[kind="primary"] { background: $accent; color: $on_accent; border: 1px solid $accent;
    font-weight: 600; }
QPushButton[kind="primary"]:hover { background: $accent_hover; border-color: $accent_hover; }
QPushButton[kind="primary"]:focus { border: 2px solid $text; }
QPushButton[kind="primary"]:disabled { background: $raised; color: $muted; border-color: $line; }
QPushButton[kind="danger"] { color: $bad; border-color: $bad; }
QPushButton[kind="danger"]:hover { background: $bad_soft; }
QPushButton[kind="fix"] { padding: 3px 10px; font-size: 12px; }
QPushButton[kind="fix"]:focus { padding: 2px 9px; }
QPushButton[kind="link"] { background: transparent; border: 1px solid transparent; color: $accent;
    padding: 3px 6px; text-align: left; }
QPushButton[kind="link"]:hover { text-decoration: underline; }
QPushButton[kind="link"]:focus { border: 2px solid $accent; padding: 2px 5px; }
QPushButton[kind="link"]:disabled { color: $muted; }
QPushButton[kind="step"] { background: transparent; border: 1px solid transparent;
    border-radius: 8px; padding: 9px 10px; text-align: left; color: $muted; }
QPushButton[kind="step"]:hover { background: $raised; color: $text; }
QPushButton[kind="step"]:checked { background: $accent_soft; color: $text; font-weight: 600; }
QPushButton[kind="step"]:focus { border: 2px solid $accent; padding: 8px 9px; }
QPushButton[kind="step"]:disabled { background: transparent; color: $muted; }
QPushButton[kind="option"] { text-align: left; border: 1px solid $line; border-radius: 10px;
    padding: 12px 14px; background: $panel; }
QPushButton[kind="option"]:hover { border-color: $control; background: $panel; }
QPushButton[kind="option"]:checked { border: 2px solid $accent; background: $accent_soft;
    padding: 11px 13px; }
QPushButton[kind="option"]:focus { border: 2px solid $accent; padding: 11px 13px; }
QToolButton { background: transparent; border: 1px solid transparent; border-radius: 6px;
    padding: 4px; }
QToolButton:hover { background: $raised; }
QToolButton:focus { border: 2px solid $accent; padding: 3px; }
QToolButton:checked { background: $accent_soft; }

QLineEdit, QPlainTextEdit, QTextEdit, QAbstractSpinBox, QComboBox { background: $panel;
    border: 1px solid $control; border-radius: 7px; padding: 5px 8px; color: $text;
    selection-background-color: $accent; selection-color: $on_accent; }
QLineEdit, QAbstractSpinBox, QComboBox { min-height: 20px; }
QLineEdit:focus, QPlainTextEdit:focus, QTextEdit:focus, QAbstractSpinBox:focus, QComboBox:focus {
    border: 2px solid $accent; padding: 4px 7px; }
QLineEdit[invalid="true"], QAbstractSpinBox[invalid="true"], QComboBox[invalid="true"] {
    border: 2px solid $bad; padding: 4px 7px; }
QLineEdit:disabled, QAbstractSpinBox:disabled, QComboBox:disabled { background: $raised;
    color: $muted; border-color: $line; }
QAbstractSpinBox { padding-right: 22px; }
QAbstractSpinBox:focus { padding-right: 22px; }
#qt_spinbox_lineedit { border: none; padding: 0 0 0 6px; background: transparent;
    min-height: 0; }
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button { subcontrol-origin: border;
    width: 20px; border: none; background: transparent; }
QAbstractSpinBox::up-button { subcontrol-position: top right; }
QAbstractSpinBox::down-button { subcontrol-position: bottom right; }
QAbstractSpinBox::up-arrow { image: url("$image_up"); width: 12px; height: 12px; }
QAbstractSpinBox::down-arrow { image: url("$image_down"); width: 12px; height: 12px; }
QComboBox { padding-right: 26px; }
QComboBox::drop-down { border: none; width: 24px; subcontrol-origin: border; }
QComboBox::down-arrow { image: url("$image_down"); width: 14px; height: 14px; }
QComboBox QAbstractItemView { background: $panel; border: 1px solid $control;
    selection-background-color: $accent_soft; selection-color: $text; padding: 4px; outline: 0; }

QCheckBox, QRadioButton { spacing: 8px; background: transparent; }
QCheckBox::indicator, QRadioButton::indicator, QListView::indicator { width: 16px; height: 16px;
    background: $panel; border: 1px solid $control; }
QCheckBox::indicator, QListView::indicator { border-radius: 4px; }
QRadioButton::indicator { border-radius: 9px; }
QCheckBox::indicator:checked, QListView::indicator:checked { background: $accent;
    border-color: $accent; image: url("$image_check"); }
QRadioButton::indicator:checked { background: $panel; border: 5px solid $accent; width: 8px;
    height: 8px; }
QCheckBox::indicator:focus, QRadioButton::indicator:focus { border: 2px solid $accent; }
QCheckBox:focus, QRadioButton:focus { color: $accent; }

QSlider::groove:horizontal { height: 4px; background: $track; border-radius: 2px; }
QSlider::sub-page:horizontal { background: $accent; border-radius: 2px; }
QSlider::handle:horizontal { width: 16px; height: 16px; margin: -6px 0; border-radius: 8px;
    background: $accent; }
QSlider::handle:horizontal:focus { border: 2px solid $text; width: 12px; height: 12px; }
QProgressBar { background: $track; border: none; border-radius: 4px; min-height: 8px;
    max-height: 8px; text-align: center; color: transparent; }
QProgressBar::chunk { background: $accent; border-radius: 4px; }

QTableView, QTreeView, QListView { background: $panel; alternate-background-color: $window;
    border: 1px solid $line; border-radius: 8px; gridline-color: $line; outline: 0;
    selection-background-color: $accent_soft; selection-color: $text; }
QTableView:focus, QTreeView:focus, QListView:focus { border: 2px solid $accent; }
QTableView::item, QTreeView::item, QListView::item { padding: 6px 8px; }
QHeaderView { background: $raised; border: none; }
QHeaderView::section { background: $raised; color: $muted; border: none;
    border-bottom: 1px solid $line; padding: 7px 8px; font-weight: 500; }
QTableCornerButton::section { background: $raised; border: none; }

QTabWidget::pane { border: none; }
QTabBar { background: transparent; qproperty-drawBase: 0; }
QTabBar::tab { background: transparent; color: $muted; padding: 7px 14px;
    border-bottom: 2px solid transparent; font-weight: 500; }
QTabBar::tab:selected { color: $text; border-bottom: 2px solid $accent; }
QTabBar::tab:hover { color: $text; }
QTabBar::tab:focus { color: $accent; }
QGroupBox { border: 1px solid $line; border-radius: 8px; margin-top: 14px; padding: 10px; }
QGroupBox::title { subcontrol-origin: margin; left: 8px; padding: 0 4px; }
QSplitter::handle { background: $line; }

QMenuBar { background: $panel; border-bottom: 1px solid $line; padding: 2px 6px; }
QMenuBar::item { background: transparent; padding: 5px 10px; border-radius: 6px; }
QMenuBar::item:selected { background: $raised; }
QMenu { background: $panel; border: 1px solid $control; padding: 6px; }
QMenu::item { padding: 6px 26px 6px 12px; border-radius: 5px; }
QMenu::item:selected { background: $accent_soft; }
QMenu::item:disabled { color: $muted; }
QMenu::separator { height: 1px; background: $line; margin: 5px 6px; }

QScrollBar:vertical { background: transparent; width: 12px; margin: 0; }
QScrollBar:horizontal { background: transparent; height: 12px; margin: 0; }
QScrollBar::handle { background: $control; border-radius: 3px; margin: 3px; }
QScrollBar::handle:vertical { min-height: 36px; }
QScrollBar::handle:horizontal { min-width: 36px; }
QScrollBar::handle:hover { background: $muted; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
""")


def stylesheet(theme: Theme, images: dict[str, str]) -> str:
    """The sheet in one theme; `images` maps image_up, image_down and image_check to files."""
    colours = {field.name: getattr(theme, field.name) for field in fields(theme)}
    return _SHEET.substitute(colours | images)
