"""A program of somebody else's that asks Triton over gRPC until it is killed: `python -m scripts.faults.doomed HOST:PORT PICTURE`.

Several calls are under way all the time. It says once that they are.
"""

from __future__ import annotations

import sys
import threading

import cv2
import numpy as np
import tritonclient.grpc as triton

UNDER_WAY, PAUSE_S = 6, 0.1
OUTPUTS = ("NUM_FACES", "AGE", "EMOTION")


def main(address: str, picture: str) -> None:
    """For ever."""
    client = triton.InferenceServerClient(address)
    pixels = cv2.cvtColor(cv2.imdecode(np.fromfile(picture, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    image = triton.InferInput("IMAGE", [1, *pixels.shape], "UINT8")
    image.set_data_from_numpy(pixels[None])
    wanted = [triton.InferRequestedOutput(name) for name in OUTPUTS]
    free = threading.Semaphore(UNDER_WAY)

    def settle(result: object, error: object) -> None:
        threading.Timer(PAUSE_S, free.release).start() if error else free.release()

    for number in range(sys.maxsize):
        free.acquire()
        client.async_infer("face_analysis", [image], settle, outputs=wanted)
        if number == UNDER_WAY - 1:
            sys.stdout.write("asking\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
