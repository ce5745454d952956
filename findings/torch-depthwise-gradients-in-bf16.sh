#!/usr/bin/env bash
# torch 2.14.1, CPUs with AVX-512's bf16: the gradient of a depthwise convolution with stride 2 under
# autocast to bfloat16, channels last.
#
# Guess: the kernels made for depthwise convolutions serve float32 and bfloat16, and bfloat16 is the faster one.
# Happens: float32 and bfloat16 with stride 1 use `jit_dw`; bfloat16 with stride 2 uses `brgconv_strided`, which is made
#   for dense convolutions and pads each single channel to a block of 16 x 2. The input's gradient takes many times as
#   long as in float32. Mixed precision so slows training of EfficientNets and MobileNets down on a CPU that is good at it.
# Seen (times with torch 2.15.0): 96 channels of 321 x 321, batch 2, one core: 39 ms in float32, 461 ms in bfloat16; the forward pass 8 and 7 ms.
#   Where AVX-512 has no bf16, nothing is compared.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
cd "$folder"
cat > kernels.py <<'EOF'
import torch

torch.set_num_threads(1)
for dtype in (torch.float32, torch.bfloat16):
    for stride in (1, 2):
        x = torch.randn(1, 64, 64, 64, dtype=dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
        y = torch.conv2d(x, torch.randn(64, 1, 3, 3, dtype=dtype), stride=stride, padding=1, groups=64)
        print(f"CASE {dtype} stride {stride}", flush=True)
        with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
            y.sum().backward()
EOF
if ! venv/bin/python -c 'import sys, torch; sys.exit(not torch.cpu.get_capabilities().get("avx512_bf16", False))'; then
    echo "this CPU has no bf16 in AVX-512: nothing to compare"
    exit 0
fi
ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 venv/bin/python kernels.py > told.txt
venv/bin/python - <<'EOF'
import re

seen = {}
for line in open("told.txt"):
    if line.startswith("CASE"):
        case = line.removeprefix("CASE ").strip()
    elif "backward_data" in line and ",convolution," in line:
        seen[case] = re.search(r",convolution,(\w+)", line)[1]
print(*(f"{case}: {kernel}" for case, kernel in seen.items()), sep="\n")
assert seen == {
    "torch.float32 stride 1": "jit_dw", "torch.float32 stride 2": "jit_dw",
    "torch.bfloat16 stride 1": "jit_dw", "torch.bfloat16 stride 2": "brgconv_strided",
}
EOF
