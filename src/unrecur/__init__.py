"""Does your sequence model need to be recurrent? Decide, audit, truncate, with evidence.

Importing this package imports nothing heavy: a name's module is loaded when the name is used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from unrecur._version import __version__ as __version__

if TYPE_CHECKING:
    from unrecur._check import CorruptFileError as CorruptFileError
    from unrecur._check import InputError as InputError
    from unrecur.audits.audit import Audit as Audit
    from unrecur.audits.audit import audit as audit
    from unrecur.audits.conformal import conformal_curve as conformal_curve
    from unrecur.audits.memory import memory_curve as memory_curve
    from unrecur.certificates import theory as theory
    from unrecur.certificates.attack import Attack as Attack
    from unrecur.certificates.attack import attack as attack
    from unrecur.certificates.attack import attack_curve as attack_curve
    from unrecur.certificates.certificate import Certificate as Certificate
    from unrecur.certificates.certificate import Evidence as Evidence
    from unrecur.certificates.contraction import certify as certify
    from unrecur.certificates.hidden_markov import hmm_forgetting as hmm_forgetting
    from unrecur.certificates.inputs import points as points
    from unrecur.certificates.on_inputs import InputCertificate as InputCertificate
    from unrecur.certificates.on_inputs import certify_on as certify_on
    from unrecur.certificates.perron import majorant_rate as majorant_rate
    from unrecur.certificates.perron import project_to_majorant_ as project_to_majorant_
    from unrecur.certificates.project import project_ as project_
    from unrecur.certificates.ratio import one_step_ratio as one_step_ratio
    from unrecur.certificates.spectrum import jacobian_norms as jacobian_norms
    from unrecur.certificates.spectrum import lyapunov_exponents as lyapunov_exponents
    from unrecur.certificates.stabilize import stabilize as stabilize
    from unrecur.core.cell import AbstractCell as AbstractCell
    from unrecur.core.compose import Parallel as Parallel
    from unrecur.core.compose import Pointwise as Pointwise
    from unrecur.core.compose import Residual as Residual
    from unrecur.core.compose import Serial as Serial
    from unrecur.core.equivalence import check_equivalence as check_equivalence
    from unrecur.core.field import Field as Field
    from unrecur.core.lagged import Lagged as Lagged
    from unrecur.core.model import AbstractSequenceModel as AbstractSequenceModel
    from unrecur.data.datasets import task_from as task_from
    from unrecur.data.own import own_task as own_task
    from unrecur.data.pieces import long_task as long_task
    from unrecur.data.task import Task as Task
    from unrecur.data.tasks import load_task as load_task
    from unrecur.exports.export import Exported as Exported
    from unrecur.exports.export import export as export
    from unrecur.exports.pretrained import from_pretrained as from_pretrained
    from unrecur.exports.pretrained import push_to_hub as push_to_hub
    from unrecur.exports.pretrained import save_pretrained as save_pretrained
    from unrecur.exports.quantize import Quantized as Quantized
    from unrecur.exports.quantize import quantize as quantize
    from unrecur.exports.truncated_file import TruncatedFile as TruncatedFile
    from unrecur.exports.truncated_file import truncate_file as truncate_file
    from unrecur.interop.read import read_recurrences as read_recurrences
    from unrecur.interop.recurrence import Recurrence as Recurrence
    from unrecur.layers.attention_maps import attention_maps as attention_maps
    from unrecur.layers.recurrent import Recurrent as Recurrent
    from unrecur.layers.torch_arithmetic import field as field
    from unrecur.models.beam import beam_search as beam_search
    from unrecur.models.decoding import greedy as greedy
    from unrecur.models.decoding import sample as sample
    from unrecur.models.generation import generate as generate
    from unrecur.models.spec import Spec as Spec
    from unrecur.models.spec import build as build
    from unrecur.models.spec import load_model as load_model
    from unrecur.models.spec import save_model as save_model
    from unrecur.parallelism.recurrence import parallel as parallel
    from unrecur.report.field_picture import field_picture as field_picture
    from unrecur.solvers.auto import Auto as Auto
    from unrecur.solvers.chunked import Chunked as Chunked
    from unrecur.solvers.in_sequence import Sequential as Sequential
    from unrecur.solvers.newton import Newton as Newton
    from unrecur.solvers.newton import Picard as Picard
    from unrecur.solvers.newton import QuasiNewton as QuasiNewton
    from unrecur.solvers.scan import Scan as Scan
    from unrecur.solvers.shooting import Shooting as Shooting
    from unrecur.solvers.unroll import unroll as unroll
    from unrecur.streams.batch import StreamBatch as StreamBatch
    from unrecur.streams.stream import Stream as Stream
    from unrecur.streams.stream import stream as stream
    from unrecur.studies.comparison import compare as compare
    from unrecur.studies.config import StudyConfig as StudyConfig
    from unrecur.studies.distill import distill as distill
    from unrecur.studies.lookback import lookback as lookback
    from unrecur.studies.study import study as study
    from unrecur.studies.theorem import theorem as theorem
    from unrecur.train.config import TrainConfig as TrainConfig
    from unrecur.train.evaluate import evaluate as evaluate
    from unrecur.train.full import Full as Full
    from unrecur.train.guard import DivergedError as DivergedError
    from unrecur.train.in_parallel import InParallel as InParallel
    from unrecur.train.online.eprop import EProp as EProp
    from unrecur.train.online.rtrl import RTRL as RTRL
    from unrecur.train.online.snap import SnAp1 as SnAp1
    from unrecur.train.online.uoro import UORO as UORO
    from unrecur.train.truncated import Truncated as Truncated
    from unrecur.train.windowed import Windowed as Windowed
    from unrecur.truncation.bound import output_bound as output_bound
    from unrecur.truncation.bound import truncate as truncate
    from unrecur.truncation.window import Window as Window

_HOMES = {
    "CorruptFileError": "_check",
    "InputError": "_check",
    "Audit": "audits.audit",
    "audit": "audits.audit",
    "conformal_curve": "audits.conformal",
    "memory_curve": "audits.memory",
    "theory": "certificates",
    "Attack": "certificates.attack",
    "attack": "certificates.attack",
    "attack_curve": "certificates.attack",
    "Certificate": "certificates.certificate",
    "Evidence": "certificates.certificate",
    "certify": "certificates.contraction",
    "hmm_forgetting": "certificates.hidden_markov",
    "points": "certificates.inputs",
    "InputCertificate": "certificates.on_inputs",
    "certify_on": "certificates.on_inputs",
    "majorant_rate": "certificates.perron",
    "project_to_majorant_": "certificates.perron",
    "project_": "certificates.project",
    "one_step_ratio": "certificates.ratio",
    "jacobian_norms": "certificates.spectrum",
    "lyapunov_exponents": "certificates.spectrum",
    "stabilize": "certificates.stabilize",
    "AbstractCell": "core.cell",
    "Parallel": "core.compose",
    "Pointwise": "core.compose",
    "Residual": "core.compose",
    "Serial": "core.compose",
    "check_equivalence": "core.equivalence",
    "Field": "core.field",
    "Lagged": "core.lagged",
    "AbstractSequenceModel": "core.model",
    "task_from": "data.datasets",
    "own_task": "data.own",
    "long_task": "data.pieces",
    "Task": "data.task",
    "load_task": "data.tasks",
    "Exported": "exports.export",
    "export": "exports.export",
    "from_pretrained": "exports.pretrained",
    "push_to_hub": "exports.pretrained",
    "save_pretrained": "exports.pretrained",
    "Quantized": "exports.quantize",
    "quantize": "exports.quantize",
    "TruncatedFile": "exports.truncated_file",
    "truncate_file": "exports.truncated_file",
    "read_recurrences": "interop.read",
    "Recurrence": "interop.recurrence",
    "attention_maps": "layers.attention_maps",
    "Recurrent": "layers.recurrent",
    "field": "layers.torch_arithmetic",
    "beam_search": "models.beam",
    "greedy": "models.decoding",
    "sample": "models.decoding",
    "generate": "models.generation",
    "Spec": "models.spec",
    "build": "models.spec",
    "load_model": "models.spec",
    "save_model": "models.spec",
    "parallel": "parallelism.recurrence",
    "field_picture": "report.field_picture",
    "Auto": "solvers.auto",
    "Chunked": "solvers.chunked",
    "Sequential": "solvers.in_sequence",
    "Newton": "solvers.newton",
    "Picard": "solvers.newton",
    "QuasiNewton": "solvers.newton",
    "Scan": "solvers.scan",
    "Shooting": "solvers.shooting",
    "unroll": "solvers.unroll",
    "compare": "studies.comparison",
    "StreamBatch": "streams.batch",
    "Stream": "streams.stream",
    "stream": "streams.stream",
    "StudyConfig": "studies.config",
    "distill": "studies.distill",
    "lookback": "studies.lookback",
    "study": "studies.study",
    "theorem": "studies.theorem",
    "TrainConfig": "train.config",
    "evaluate": "train.evaluate",
    "Full": "train.full",
    "DivergedError": "train.guard",
    "InParallel": "train.in_parallel",
    "EProp": "train.online.eprop",
    "RTRL": "train.online.rtrl",
    "SnAp1": "train.online.snap",
    "UORO": "train.online.uoro",
    "Truncated": "train.truncated",
    "Windowed": "train.windowed",
    "output_bound": "truncation.bound",
    "truncate": "truncation.bound",
    "Window": "truncation.window",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module 'unrecur' has no attribute '{name}'")
    home = importlib.import_module(f"unrecur.{_HOMES[name]}")
    if hasattr(home, "__path__"):  # a module of a folder, not a name in a module
        return importlib.import_module(f"{home.__name__}.{name}")
    return getattr(home, name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*_HOMES, "__version__"])
