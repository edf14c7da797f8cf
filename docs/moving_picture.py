"""Draws episodes of a traced run side by side as an animated GIF, in a headless Chromium.

    bfmkit run opti_bfm_two_stage environment.task=walk environment.episode_steps=500 trace_every=1 --out runs/walk
    python docs/moving_picture.py runs/walk docs/images/walker.gif

Needs playwright (extra `dev`) and Chromium.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from bfmkit.live.film import Film
from bfmkit.live.film_export import gif
from bfmkit.live.recorded import Recording
from bfmkit.live.scene import Scene
from bfmkit.live.server import page_server

HEIGHT, WIDTH, RATE = 270, 480, 10.0
SOFTWARE = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def main(arguments: argparse.Namespace) -> None:
    """Play the recording in a browser that nobody sees, and keep what it draws."""
    from playwright.sync_api import sync_playwright

    recording = Recording.load(arguments.run)
    timestep = recording.environment.spec.control_timestep
    first, last = (round(second / timestep) for second in arguments.seconds)
    names = tuple(f"episode {number}" for number in recording.numbers)
    film = Film(names, tuple(poses[first:last] for poses in recording.poses()), timestep)
    with page_server("127.0.0.1", arguments.port) as server, sync_playwright() as program:
        scene = Scene(server, recording.environment.appearance(), list(names))
        chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        browser = program.chromium.launch(executable_path=chromium, args=SOFTWARE)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(f"http://127.0.0.1:{arguments.port}", timeout=120_000)
        while not server.get_clients():
            page.wait_for_timeout(100)
        # The bodies alone, without the panel.
        page.add_style_tag(content="body * { visibility: hidden } canvas { visibility: visible !important }")
        begun, pictures = time.monotonic(), []
        for frame in film.frames(RATE):
            scene.show(frame)
            page.wait_for_timeout(200)
            shot = page.screenshot(timeout=120_000, type="png")
            pictures.append(np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")))
        browser.close()
    written = gif(pictures, film.seconds(RATE))
    arguments.out.write_bytes(written)
    sys.stderr.write(f"{len(pictures)} frames in {time.monotonic() - begun:.0f} s, {len(written) / 1e6:.2f} MB\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run directory with a trace")
    parser.add_argument("out", type=Path, help="the GIF")
    parser.add_argument("--seconds", type=float, nargs=2, default=(4.0, 11.0), help="which part of the episodes (4 11)")
    parser.add_argument("--port", type=int, default=18791)
    main(parser.parse_args())
