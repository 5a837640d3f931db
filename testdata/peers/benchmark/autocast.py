"""nnU-Net's command with bfloat16 autocast, which it does not offer on a CPU."""
import torch
from nnunetv2.inference.predict_from_raw_data import predict_entry_point_modelfolder

if __name__ == '__main__':
    with torch.autocast('cpu', torch.bfloat16):
        predict_entry_point_modelfolder()
