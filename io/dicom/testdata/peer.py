"""What SimpleITK (GDCM) sees in folders of DICOM slices, for peers_test.go.

peer.py DIR...   one JSON object: folder -> spacing, origin, direction (x, y, z; LPS)
                 and values (z, y, x)
"""

import json
import sys

import SimpleITK as sitk

sitk.ProcessObject.SetGlobalWarningDisplay(False)


def see(folder):
    reader = sitk.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(folder)
    reader.SetFileNames(names)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        return {"error": str(error)}
    return {
        "spacing": image.GetSpacing(),
        "origin": image.GetOrigin(),
        "direction": image.GetDirection(),
        "values": sitk.GetArrayFromImage(image).ravel().tolist(),
    }


print(json.dumps({folder: see(folder) for folder in sys.argv[1:]}))
