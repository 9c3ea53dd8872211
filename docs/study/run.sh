#!/usr/bin/env bash
# The whole study, from the repository's root: hours on two cores. What is finished is not repeated; a killed one goes on.
set -euo pipefail
out=${1:-runs/study}
export OMP_NUM_THREADS=1 # the same bits with any number of workers
compare() { featmask compare "$@" --workers 2 --out "$out"; }
# trust STUDY BASELINE SAMPLES EPS: the doctor on the first seed of every method, the baseline's attacks tried on it too
trust() {
  local base run
  for base in "$out/$1"/*/"$2"/seed-0; do
    for run in "${base%/*/*}"/*/seed-0; do
      [ ! -f "$run/doctor.json" ] || continue
      set -- "$1" "$2" "$3" "$4" # and, for all but the baseline, whose attacks to try
      if [ "$run" != "$base" ]; then set -- "$@" --surrogate "$base/model.safetensors"; fi
      # 1: not to be trusted; that is an answer
      featmask doctor "$run/model.safetensors" --samples "$3" --eps "$4" "${@:5}" --save "$run" || [ $? -eq 1 ]
    done
  done
}

compare recipes/study/clothes_10.yaml --tune 5
tuned=$(ls "$out"/clothes_10/*/recipe.tuned.yaml)
compare recipes/study/clothes_adversarial.yaml
compare "$tuned" --methods none,dropout2d,lfm,lfm_published --set name=clothes_30 \
  --set data.train_share=0.3 --set train.epochs=10 \
  --set 'note=As clothes_10 with its tuned options, but learned from 30 % of the training images, in 10 epochs (as many steps).'
compare recipes/study/clothes_ablation.yaml
compare recipes/study/cells.yaml --tune 3
compare "$tuned" --set name=clothes_100 --set data.train_share=1.0 --set train.epochs=3 \
  --set 'note=As clothes_10 with its tuned options, but learned from all training images, in 3 epochs (as many steps).'
compare recipes/study/pedestrians.yaml --tune 3

trust clothes_10 none 128 8/255
trust clothes_30 none 128 8/255
trust clothes_100 none 128 8/255
trust clothes_adversarial at 128 8/255
trust clothes_ablation none 128 8/255
trust cells none 64 1/255 # 32 of two classes do not show an accuracy above chance
