"""Every code a diagnostic may carry, and where the page that explains it is.

A code is never used for a second meaning. Ranges: E01 syntax, E02 names and modules, E03 types
and units, E04 schema, E05 values and plan, E06 data files, E07 studies, E09 the run; W.. warnings,
N.. notes.
"""

from pathlib import Path

from msgspec import Struct

from tsdl.diagnostics import Severity

PAGES = Path(__file__).parent / "explain"


class Code(Struct, frozen=True):
    """One kind of mistake: its stable code, how bad it is by default, its name in few words."""

    code: str
    severity: Severity
    title: str


CATALOGUE: dict[str, Code] = {
    row.code: row
    for row in (
        Code("E0101", Severity.ERROR, "syntax error"),
        Code("E0102", Severity.ERROR, "a bracket is never closed"),
        Code("E0103", Severity.ERROR, "nested too deeply"),
        Code("E0104", Severity.ERROR, "too large"),
        Code("E0105", Severity.ERROR, "not a declaration"),
        Code("E0106", Severity.ERROR, "wrong edition line"),
        Code("E0107", Severity.ERROR, "wrong import"),
        Code("E0108", Severity.ERROR, "not UTF-8 text"),
        Code("E0109", Severity.ERROR, "the file cannot be read"),
        Code("E0201", Severity.ERROR, "unknown name"),
        Code("E0202", Severity.ERROR, "declared twice"),
        Code("E0203", Severity.ERROR, "the imported file cannot be read"),
        Code("E0204", Severity.ERROR, "imports in a ring"),
        Code("E0205", Severity.ERROR, "derived from itself"),
        Code("E0206", Severity.ERROR, "a name hides a field"),
        Code("E0207", Severity.ERROR, "derived from another kind"),
        Code("E0208", Severity.ERROR, "no base sets this"),
        Code("E0209", Severity.ERROR, "a name is hidden"),
        Code("E0301", Severity.ERROR, "wrong dimension"),
        Code("E0302", Severity.ERROR, "wrong declaration of a unit or dimension"),
        Code("E0303", Severity.ERROR, "unknown unit"),
        Code("E0304", Severity.ERROR, "wrong type"),
        Code("E0305", Severity.ERROR, "wrong arguments"),
        Code("E0306", Severity.ERROR, "types that do not go together"),
        Code("E0307", Severity.ERROR, "unknown field or function of a value"),
        Code("E0308", Severity.ERROR, "type not known"),
        Code("E0309", Severity.ERROR, "unknown type"),
        Code("E0310", Severity.ERROR, "a number too large"),
        Code("E0401", Severity.ERROR, "unknown kind of block"),
        Code("E0402", Severity.ERROR, "wrong form of a declaration"),
        Code("E0403", Severity.ERROR, "set twice"),
        Code("E0404", Severity.ERROR, "not set"),
        Code("E0405", Severity.ERROR, "the bases disagree"),
        Code("E0406", Severity.ERROR, "does not belong in this block"),
        Code("E0407", Severity.ERROR, "state is changed outside a handler"),
        Code("E0408", Severity.ERROR, "a formula and a field are mixed up"),
        Code("E0409", Severity.ERROR, "another declaration cannot be changed from here"),
        Code("E0410", Severity.ERROR, "unknown member of a block"),
        Code("E0411", Severity.ERROR, "a field is set with `=`"),
        Code("E0412", Severity.ERROR, "wrong form of a clause"),
        Code("E0413", Severity.ERROR, "wrong member of a graph"),
        Code("E0414", Severity.ERROR, "unknown event"),
        Code("E0415", Severity.ERROR, "wrong handler of arrivals"),
        Code("E0416", Severity.ERROR, "wrong form of a statement"),
        Code("E0417", Severity.ERROR, "an action that has no place here"),
        Code("E0418", Severity.ERROR, "wrong variables of a handler"),
        Code("E0419", Severity.ERROR, "wrong assignment to state"),
        Code("E0420", Severity.ERROR, "wrong declaration of state"),
        Code("E0421", Severity.ERROR, "wrong breakpoint"),
        Code("E0422", Severity.ERROR, "wrong clause of a study"),
        Code("E0501", Severity.ERROR, "defined by itself"),
        Code("E0502", Severity.ERROR, "not known before the run"),
        Code("E0503", Severity.ERROR, "value out of range"),
        Code("E0504", Severity.ERROR, "cannot be computed"),
        Code("E0505", Severity.ERROR, "a param has no value"),
        Code("E0506", Severity.ERROR, "which scenario"),
        Code("E0507", Severity.ERROR, "unknown param"),
        Code("E0508", Severity.ERROR, "unknown constant"),
        Code("E0510", Severity.ERROR, "no peak for the number format"),
        Code("E0511", Severity.ERROR, "the model does not fit the memory"),
        Code("E0512", Severity.ERROR, "no room for a request"),
        Code("E0513", Severity.ERROR, "no worker for a phase"),
        Code("E0514", Severity.ERROR, "the parallel degree does not divide"),
        Code("E0515", Severity.ERROR, "no such tier"),
        Code("E0516", Severity.ERROR, "no room for a token of each request"),
        Code("E0517", Severity.ERROR, "requests are not handed over"),
        Code("E0519", Severity.ERROR, "a policy or cost in Python is missing"),
        Code("E0520", Severity.ERROR, "a workload without an end"),
        Code("E0521", Severity.ERROR, "said twice"),
        Code("E0522", Severity.ERROR, "parameters that make no distribution"),
        Code("E0523", Severity.ERROR, "too many requests"),
        Code("E0525", Severity.ERROR, "not to be scheduled ahead"),
        Code("E0526", Severity.ERROR, "blocks that cannot be shared"),
        Code("E0527", Severity.ERROR, "not in a pipeline"),
        Code("E0528", Severity.ERROR, "not in lock-step"),
        Code("E0529", Severity.ERROR, "a study that cannot be asked"),
        Code("E0530", Severity.ERROR, "nothing to scale"),
        Code("E0531", Severity.ERROR, "operators that cannot be offloaded"),
        Code("E0532", Severity.ERROR, "workloads that cannot be mixed"),
        Code("E0601", Severity.ERROR, "not a table of requests"),
        Code("E0602", Severity.ERROR, "a column is missing"),
        Code("E0603", Severity.ERROR, "a wrong row"),
        Code("E0604", Severity.ERROR, "the data file cannot be read"),
        Code("E0605", Severity.ERROR, "the data file cannot be used"),
        Code("E0606", Severity.ERROR, "not a configuration of that format"),
        Code("E0607", Severity.ERROR, "not a measured run"),
        Code("E0608", Severity.ERROR, "no such times in a table"),
        Code("E0609", Severity.ERROR, "a table for another parallel degree"),
        Code("E0701", Severity.ERROR, "not a store of results"),
        Code("E0702", Severity.ERROR, "the store cannot be used"),
        Code("E0703", Severity.ERROR, "the cluster cannot be used"),
        Code("E0704", Severity.ERROR, "not a folder of results"),
        Code("E0901", Severity.ERROR, "a formula has no value during the run"),
        Code("E0902", Severity.ERROR, "a time or a size that there cannot be"),
        Code("E0903", Severity.ERROR, "a policy goes round and round"),
        Code("E0904", Severity.ERROR, "a policy or cost in Python fails"),
        Code("E0905", Severity.ERROR, "not enough memory for the run"),
        Code("E0906", Severity.ERROR, "requests that arrive too late to be counted"),
        Code("W0201", Severity.WARNING, "never used"),
        Code("W0202", Severity.WARNING, "a `let` that nothing reads"),
        Code("W0502", Severity.WARNING, "a bound that no request can meet"),
        Code("W0503", Severity.WARNING, "requests that will be rejected"),
        Code("W0504", Severity.WARNING, "an attention window that is not modelled"),
        Code("W0505", Severity.WARNING, "an operator class or format without a counterpart"),
        Code("W0506", Severity.WARNING, "a handler that can never fire"),
        Code("W0507", Severity.WARNING, "compared with a name that nothing has"),
        Code("W0508", Severity.WARNING, "times of an operator that the graph lacks"),
        Code("W0509", Severity.WARNING, "no experts to share"),
        Code("W0511", Severity.WARNING, "a total that cannot be known"),
        Code("W0512", Severity.WARNING, "seeds that make no difference"),
        Code("W0513", Severity.WARNING, "a share beyond the whole"),
        Code("W0514", Severity.WARNING, "a size that the graph does not read"),
        Code("W0515", Severity.WARNING, "no peak for the number format that is asked for"),
        Code("W0518", Severity.WARNING, "a condition that time changes, and nobody asks"),
        Code("W0519", Severity.WARNING, "collectives beyond their link"),
        Code("W0520", Severity.WARNING, "workers that nobody scales"),
        Code("W0521", Severity.WARNING, "priorities or attributes that no request has"),
        Code("W0522", Severity.WARNING, "an exchange of tokens among no ranks"),
        Code("W0523", Severity.WARNING, "halves of a batch that wait for nothing"),
        Code("W0524", Severity.WARNING, "a latency that collectives do not have"),
        Code("W0525", Severity.WARNING, "a bound that only slow answers meet"),
        Code("W0526", Severity.WARNING, "an offload that computes nothing"),
        Code("W0527", Severity.WARNING, "a tier into which no KV comes"),
        Code("W0528", Severity.WARNING, "more blocks than the memory holds"),
        Code("W0529", Severity.WARNING, "a setting without effect"),
        Code("W0530", Severity.WARNING, "a metric that nothing records"),
        Code("W0603", Severity.WARNING, "rows are left out"),
        Code("W0606", Severity.WARNING, "a key without a counterpart"),
        Code("W0608", Severity.WARNING, "a table that is faster than the device"),
        Code("W0609", Severity.WARNING, "a table of something else"),
        Code("W0610", Severity.WARNING, "times in another unit than their column says"),
        Code("W0611", Severity.WARNING, "a measured run that contradicts itself or the scenario"),
        Code("W0901", Severity.WARNING, "asked beyond what a table has measured"),
        Code("W0902", Severity.WARNING, "requests that pile up"),
        Code("W0903", Severity.WARNING, "few requests that count"),
        Code("W0904", Severity.WARNING, "a measured run that no constants explain"),
        Code("W0905", Severity.WARNING, "a fitted share that no device reaches"),
        Code("N0201", Severity.NOTE, "hides a name of the standard library"),
        Code("N0510", Severity.NOTE, "prompts begin alike, and no KV cache shares"),
        Code("N0607", Severity.NOTE, "what was found in a table"),
    )
}


def explanation(code: str) -> str | None:
    """Return the Markdown page about a code, or None if there is no such code or page."""
    if code not in CATALOGUE:  # which also keeps `../../secret` from becoming a path
        return None
    page = PAGES / f"{code}.md"
    return page.read_text(encoding="utf-8") if page.is_file() else None
