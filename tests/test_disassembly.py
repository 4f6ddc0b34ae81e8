"""No hot loop keeps a vector on the stack: the compiled kernels, read back with objdump.

A compiler that runs out of registers still computes the right bits, slowly: only the machine code tells. What is
expected is read from the sources, so this runs where the checkout is at hand.
"""

import itertools
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fastconv import _kernels

CSRC = Path(__file__).parent.parent / "fastconv" / "csrc"
MACHINE = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())


def defined(name):
    """The macros of one file of csrc, as text by name."""
    return dict(re.findall(r"^#define (\w+) +(\S+)$", (CSRC / name).read_text(), re.MULTILINE))


def isas(family):
    """Names of the instruction sets of this architecture that have a family of their own, as simd/foreach.h lists them.

    amx has that of avx512, but what is in tiles.
    """
    found, here = [], True
    for line in (CSRC / "simd/foreach.h").read_text().splitlines():
        if condition := re.match(r"#if defined\(__(\w+)__\)", line):
            here = condition.group(1) == MACHINE
        elif line.startswith("#endif"):
            here = True
        elif here and (name := re.match(r"#define FC_ISA (\w+)", line)):
            found.append(name.group(1))
    return [name for name in dict.fromkeys(found) if name != "amx" or family == "split"]


def invocations(name, macro):
    """The arguments of each line of csrc/ukernels that is one use of a macro."""
    text = (CSRC / "ukernels" / name).read_text()
    return [tuple(map(int, found.split(","))) for found in re.findall(rf"^{macro}\(([\d, ]+)\)$", text, re.MULTILINE)]


def downs():
    """Heights, strides and vectors of the kernels that go down a map, as ukernels/rows.ukr.h lists them."""
    text = (CSRC / "ukernels/rows.ukr.h").read_text()
    few = [tuple(map(int, found)) for found in re.findall(r"FC_DOWNS\((\d), (\d), MASKED\)", text)]
    more = [tuple(map(int, found)) for found in re.findall(r"FC_DOWN\((\d), (\d), MASKED, (\d)\)", text)]
    assert few
    assert more
    return [(*found, vecs) for found in few for vecs in (1, 2, 3)] + more


def woven():
    """Periods and vectors of the kernels for alternating weights, as ukernels/interleaved.ukr.h lists them."""
    return invocations("interleaved.ukr.h", "FC_WOVEN")


def kernels(family, isa, kind):
    """What one microkernel header makes: {symbol: (multiply-adds of its hot code, how many loops of so many, or 0)}."""
    if family == "split":
        products = len(re.findall(r"DO\(\d, \d\)", (CSRC / "ukernels/split.ukr.h").read_text()))
        made = {f"split_{isa}_{a}_{b}": (products * a * b, 0) for a in (1, 2) for b in (1, 2)}
        return made | {f"split_{isa}_{name}": (0, 1) for name in ("pairs", "side_by_side", "store")}
    macros = defined("simd/i64.h") | defined(f"simd/{isa}.h")
    names = ("ROWS", "TALL", "VECS", "WIDE", "HELD")
    rows, tall, vecs, wide, held = (int(macros[f"FC_{name}_{kind}"]) for name in names)
    stem = f"{family}_{kind}_{isa}"
    if family == "tile":
        shapes = [(v, 1) for v in range(1, wide + 1)]
        shapes += [(v, r) for v in range(1, vecs + 1) for r in range(2, (tall if v < vecs else rows) + 1)]
        copies = {f"{stem}_copy_{v}": (0, 1) for v in range(1, vecs + 1)}
        tails = range(1, vecs) if f"FC_TAIL_{kind}" in macros else []
        tailed = {f"{stem}_tail_{v}_{r}": (2 * (v * r + r), 2) for v in tails for r in range(1, rows + 1)}
        # Steps go by two, in a loop that calls lines into the cache and in one that does not.
        made = {f"{stem}_{v}_{r}": (2 * v * r, 2) if r > 1 else (v, 1) for v, r in shapes} | tailed
        return made | copies | {f"{stem}_store": (1, 0)}
    if family == "bank":
        return {f"{stem}_{v}_{r}": (2 * v * r, 1) for v in range(1, vecs + 1) for r in range(1, rows + 1)}
    if family == "rows":
        whiches = [0, 1] if held >= 9 and macros.get("FC_MASKS") == "1" else [0]
        ranges = sum(last - first + 1 for first in range(4) for last in range(first, 4))
        made = {f"{stem}_{masked}_{v}": (ranges * v, 0) for masked in whiches for v in range(1, vecs + 1)}
        for kh, stride, vectors in downs() if held >= 9 else []:
            count = kh * (3 if kh == 3 else 1) * vectors  # of one output, or of one tap of it
            made |= {f"{stem}_{kh}{stride}{masked}_{vectors}": (count, 0) for masked in whiches}
        return made
    if family == "interleaved":
        ranges = sum(last - first + 1 for first in range(4) for last in range(first, 4))
        shapes = [shape for shape in woven() if shape != (4, 4) or macros[f"FC_LANES_{kind}"] == "1"]
        shapes = [(period, v) for period, v in shapes if v < 6 or rows * vecs >= 24]
        return {f"{stem}_{period}_{v}": (ranges * v, 0) for period, v in shapes}
    if family == "channels":
        pixels = [count for (count,) in invocations("channels.ukr.h", "FC_ANY")]
        slides = invocations("channels.ukr.h", "FC_SLIDE")
        return {f"{stem}_{p}": (p, 1) for p in pixels} | {f"{stem}_{kw}_{s}": (kw * max(pixels), 1) for kw, s in slides}
    if family == "winograd":
        schemes = re.findall(
            r"^FC_SCHEME\((\w+), (\w+)\)$", (CSRC / "ukernels/winograd.ukr.h").read_text(), re.MULTILINE
        )
        return {f"{stem}_{what}_{a}_{b}": (0, 0) for what in ("input", "weight", "output") for a, b in schemes}
    if family == "squares":
        return {stem: (4, 0)}
    if family == "moves":
        names = ("copy", "pick", "widen") if macros.get(f"FC_LANES_{kind}") != "1" else ()
        return {f"{stem}_{name}": (0, 1) for name in names}
    if family == "fft":
        many = rows * vecs >= 16  # registers, as in the source
        inside = {2: 0, 3: 2, 4: 0} | ({8: 8} if many else {})
        made = {f"{stem}_plain_{radix}": (count, int(count > 0)) for radix, count in inside.items()}
        for turned in ("after", "before"):
            made |= {f"{stem}_{turned}_{radix}": (count + 2 * (radix - 1), 1) for radix, count in inside.items()}
        made |= {
            f"{stem}_around_{radix}": (2 * count + 4 * (radix - 1) + 2 * radix, 1) for radix, count in inside.items()
        }
        for outer in ("begin", "finish"):  # squares or a scale of each number besides
            made |= {f"{stem}_{outer}_{r}": (count + 2 * (r - 1) + 2 * r, 1) for r, count in inside.items() if r < 8}
        shapes = [(tiles, kernels) for tiles in (1, 2) for kernels in range(1, 5 if many else 3)]
        return made | {f"{stem}_{t}_{k}": (4 * t * k, 1) for t, k in shapes}
    if family == "peak":
        return {f"{stem}_run": (rows * vecs, 1)}
    return {stem: (0, 1)}


KINDS = {"tile": ["f32", "f64", "i64"], "rows": ["f32", "f64", "i64"], "channels": ["f32", "f64", "i64"]}
KINDS |= {"bank": ["f32", "f64", "i64"], "winograd": ["f32", "f64"], "fft": ["f32", "f64"], "squares": ["f32", "f64"]}
KINDS |= {"interleaved": ["f32", "f64"], "peak": ["f32", "f64"], "transpose": ["f32", "f64"], "moves": ["f32", "f64"]}
KINDS |= {"split": ["f32"]}
ALL = [(family, isa, kind) for family, kinds in KINDS.items() for isa in isas(family) for kind in kinds]
ASSERTED = [case for case in ALL if case[1] != "portable" and case[2] != "i64"]
ASSERTED = [case for case in ASSERTED if case[0] != "split" or case[1] == "amx"]  # elsewhere it is to compare with

# A mnemonic and its operands, in the syntax of objdump for x86-64 and AArch64, GNU's or LLVM's.
MULTIPLY_ADD = re.compile(r"vfn?m(add|sub)\d+p[sd]\b|tdpbf16ps\b|fml[as]\b")
ADD = re.compile(r"vaddp[sd]\b|fadd\b")
VECTOR = re.compile(r"%[xyzt]mm\d|\b[qv]\d+\b")
STACK = re.compile(r"\(%rsp\b|\[sp\b")
STACK_OR_FRAME = re.compile(r"\(%r[sb]p\b|\[(sp|x29|fp)\b")
FRAME = re.compile(r"movq?\s+%rsp, ?%rbp|(mov\s+(x29|fp), sp|add\s+(x29|fp), sp, #)")
JUMP = re.compile(r"(j\w+|b|b\.\w+|br|cbn?z|tbn?z)\s")
ALWAYS = re.compile(r"(jmpq?|b|br|ret\w*|ud2|hlt|brk|udf)(\s|$)")
INDIRECT = re.compile(r"(jmpq?\s+\*|br\s)")
TARGET = re.compile(r"(?:0x)?([0-9a-f]+) <")
PADDING = re.compile(r"((cs|data16)\s+)*nop|xchg\s+%ax,%ax")


def functions(disassembly):
    """{name: [(address, instruction)]} of what objdump -d --no-show-raw-insn prints."""
    found = {}
    for line in disassembly.splitlines():
        if header := re.match(r"[0-9a-f]+ <([^>]+)>:$", line):
            found[header.group(1)] = code = []
        elif instruction := re.match(r"\s*([0-9a-f]+):\s+(\S.*)", line):
            text = re.sub(r"^(?:bnd|notrack|repz)\s+", "", instruction.group(2))
            code.append((int(instruction.group(1), 16), text.expandtabs(1)))
    return found


def blocks_of(code):
    """Basic blocks of a function, {address: [instruction]}, and which follow which, {address: {address}}."""
    addresses = {address for address, _ in code}
    targets = {
        address: int(target.group(1), 16)
        for address, text in code
        if JUMP.match(text) and not INDIRECT.match(text) and (target := TARGET.search(text))
    }
    after_jump = {b for (a, text), (b, _) in itertools.pairwise(code) if JUMP.match(text) or ALWAYS.match(text)}
    starts = {code[0][0]} | after_jump | (set(targets.values()) & addresses)
    blocks, follows, switches = {}, {}, []
    for place, (address, text) in enumerate(code):
        if address in starts:
            start = address
            blocks[start], follows[start] = [], set()
        blocks[start].append(text)
        if targets.get(address) in starts:
            follows[start].add(targets[address])
        if INDIRECT.match(text):
            switches.append(start)
        if place + 1 < len(code) and code[place + 1][0] in starts and not ALWAYS.match(text):
            follows[start].add(code[place + 1][0])
    # The table of a switch is not in the listing: it leads to whatever nothing else does, save what is never run.
    orphans = set(blocks) - set().union(*follows.values()) - {code[0][0]}
    padding = {start for start in orphans if all(PADDING.match(text) for text in blocks[start])}
    for start in padding:
        follows[start] = set()
    for start in switches:
        follows[start] |= orphans - padding
    return blocks, follows


def reached(start, edges, within):
    """Blocks that a path of at least one edge leads to."""
    seen, left = set(), [start]
    while left:
        new = (edges[left.pop()] & within) - seen
        seen |= new
        left += new
    return seen


def loops_of(follows, within):
    """Every loop among some blocks, as the set of those in it but not in a loop inside of it."""
    leads = {block: {other for other in follows if block in follows[other]} for block in follows}
    found, left = [], set(within)
    while left:
        start = min(left)
        cycle = reached(start, follows, within) & reached(start, leads, within)
        left -= cycle | {start}
        if cycle:
            # Without its entry a loop falls apart into the loops inside of it.
            entries = {block for block in cycle if leads[block] - cycle}
            inner = loops_of(follows, cycle - {min(entries or cycle)})
            found += [cycle.difference(*inner), *inner]
    return found


def multiply_adds(code):
    return sum(MULTIPLY_ADD.match(text) is not None for text in code)


def with_additions(code):
    """The same code where clang has made additions of multiplications by 1."""
    return [(address, ADD.sub("vfmadd231ps", text)) for address, text in code]


def hot_code(code):
    """The innermost loops that multiply and add or, where none does, the longest run of multiply-adds without a jump.

    After the run, what is unrolled tests for a bias and stores a part of a vector by way of memory: no spills.
    """
    blocks, follows = blocks_of(code)
    loops = [[text for block in sorted(loop) for text in blocks[block]] for loop in loops_of(follows, set(blocks))]
    if hot := [loop for loop in loops if multiply_adds(loop)]:
        return hot
    longest = max(blocks.values(), key=multiply_adds)
    places = [place for place, text in enumerate(longest) if MULTIPLY_ADD.match(text)]
    return [longest[places[0] : places[-1] + 1]] if places else [[text for _, text in code]]


def stack_accesses(code, hot):
    """Instructions of a function's hot code that move vectors to or from the stack, and those that move others."""
    # Compilers use rbp for any address in functions that do not make it the frame pointer.
    stack = STACK_OR_FRAME if any(FRAME.match(text) for _, text in code) else STACK
    found = [text for text in hot if stack.search(text) and not text.startswith("lea")]
    return [text for text in found if VECTOR.search(text)], [text for text in found if not VECTOR.search(text)]


@pytest.fixture(scope="module")
def compiled():
    """The extension's functions."""
    objdump = shutil.which("objdump")
    if objdump is None:
        pytest.skip("objdump is not installed")
    command = [objdump, "-d", "--no-show-raw-insn", _kernels.__file__]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if re.search(r"<_+(asan_init|ubsan_)", text):
        pytest.skip("the extension was built with sanitizers, whose checks use the stack")
    found = {name.removeprefix("_"): code for name, code in functions(text).items()}
    if not any("_pymod_exec_" in name for name in found):
        pytest.skip("the extension's local symbols were stripped")
    return found


@pytest.mark.parametrize(("family", "isa", "kind"), ALL)
def test_every_kernel_is_compiled(family, isa, kind, compiled):
    missing = [name for name in kernels(family, isa, kind) if name not in compiled]
    assert not missing, f"The extension lacks kernels that the sources have: {missing}."


@pytest.mark.parametrize(("family", "isa", "kind"), ASSERTED)
def test_hot_loops_keep_vectors_in_registers(family, isa, kind, compiled, record_property):
    wrong = []
    for name, (count, places) in kernels(family, isa, kind).items():
        if name not in compiled:
            wrong.append(f"{name} is not in the extension.")
            continue
        code = compiled[name]
        if f"{name}_inside" in compiled:
            wrong.append(f"{name} does not hold its body, which is a function of its own.")
        if len(code) < 5 and any(JUMP.match(text) for _, text in code):  # the compiler found the same code elsewhere
            continue
        if _kernels.COMPILER.startswith("clang") and name.endswith("_store") and count:
            code = with_additions(code)
        loops = hot_code(code)
        counts = [multiply_adds(loop) for loop in loops]
        if places and counts != places * [count]:
            wrong.append(f"{name} has loops of {counts} multiply-adds where {places} of {count} are written.")
        if not places and sum(counts) < count:
            wrong.append(f"{name} has loops of {counts} multiply-adds where at least {count} are written.")
        hot = list(itertools.chain.from_iterable(loops))
        if not any(VECTOR.search(text) for text in hot):  # a transposition has no multiply-adds to be known by
            wrong.append(f"{name} has no vectors in its hot code.")
        vectors, others = stack_accesses(code, hot)
        record_property(f"{name}: other stack accesses", len(others))
        if vectors:
            told = "".join(f"\n    {text}" for text in vectors)
            wrong.append(
                f"{name} has {len(vectors)} accesses to vectors on the stack among {sum(counts)} multiply-adds:{told}"
            )
    assert not wrong, "Hot loops do not keep to their registers.\n" + "\n".join(wrong)


X86 = """
0000000000001000 <spills>:
    1000:\tpush   %rbp
    1001:\tPROLOGUE
    1004:\tvmovaps %ymm9,0x80(%rsp)
    100d:\tnopl   0x0(%rax)
    1010:\tmov    0x8(%rsp),%rax
    1015:\tvbroadcastss (%rsi,%rax,1),%ymm2
    101b:\tvfmadd231ps 0x20(%rsp),%ymm2,%ymm1
    1022:\tvmovups 0x40(%rbp),%ymm3
    1027:\tvfmadd231ps %ymm3,%ymm2,%ymm0
    102c:\tcmp    $0x9,%eax
    102f:\tjg     1050 <spills+0x50>
    1031:\tcmp    %rdx,%r10
    1034:\tjne    1010 <spills+0x10>
    1036:\tvmovups %ymm0,0x60(%rsp)
    103c:\tret
    103d:\tnopl   (%rax)
    1050:\tvmovaps %ymm1,0xa0(%rsp)
    1059:\tjmp    1031 <spills+0x31>
"""

ARM = """
0000000000002000 <spills>:
    2000:\tstp\tx29, x30, [sp, #-64]!
    2004:\tPROLOGUE
    2008:\tstr\tq9, [sp, #16]
    200c:\tldr\tx5, [sp, #8]
    2010:\tldr\tq2, [x1, x5]
    2014:\tldr\tq3, [sp, #32]
    2018:\tfmla\tv1.4s, v2.4s, v3.s[0]
    201c:\tldr\tq4, [x29, #48]
    2020:\tfmla\tv0.4s, v2.4s, v4.4s
    2024:\tsubs\tx0, x0, #0x1
    2028:\tb.ne\t200c <spills+0xc>  // b.any
    202c:\tstr\tq0, [sp, #16]
    2030:\tret
"""


@pytest.mark.parametrize(
    ("text", "prologue", "expected"),
    [
        (X86, "mov    %rsp,%rbp", ["0x20(%rsp)", "0x40(%rbp)", "0xa0(%rsp)"]),
        (X86, "mov    %rdi,%rbp", ["0x20(%rsp)", "0xa0(%rsp)"]),
        (ARM, "mov\tx29, sp", ["[sp, #32]", "[x29, #48]"]),
        (ARM, "mov\tx29, x2", ["[sp, #32]"]),
    ],
)
def test_spills_are_found(text, prologue, expected):
    code = functions(text.replace("PROLOGUE", prologue))["spills"]
    (loop,) = hot_code(code)
    assert multiply_adds(loop) == 2
    vectors, others = stack_accesses(code, loop)
    assert len(vectors) == len(expected)
    assert all(slot in access for access, slot in zip(vectors, expected, strict=True))
    assert len(others) == 1


def test_loops_are_told_apart():
    """A loop inside of a loop, in which a case of a switch is out of line: whose multiply-adds are whose."""
    code = functions("""
0000000000003000 <nested>:
    3000:\txor    %eax,%eax
    3002:\tjmp    *%r10
    3005:\tnop
    3006:\tvfmadd231pd %zmm1,%zmm2,%zmm3
    300c:\tdec    %rcx
    300f:\tjne    3006 <nested+0x6>
    3011:\tdec    %rdx
    3014:\tjne    3002 <nested+0x2>
    3016:\tret
    3017:\tvfmadd231pd %zmm1,%zmm2,%zmm4
    301d:\tvfmadd231pd %zmm1,%zmm2,%zmm5
    3023:\tjmp    3011 <nested+0x11>
""")["nested"]
    assert sorted(multiply_adds(loop) for loop in hot_code(code)) == [1, 2]
