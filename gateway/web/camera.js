// The camera: frames are asked about one after the other and shown as a mirror shows them.
import { $, say } from "./dom.js";
import { CAMERA } from "./messages.js";
import { mirrored, Tracks } from "./tracking.js";

export class Camera {
  // `ask` gives {answer} or {error} for a file; `show` gets what is to be drawn, and pictures a second; `stopped` what went wrong.
  constructor({ ask, show, stopped }) {
    Object.assign(this, { ask, show, stopped, stream: null });
  }

  get on() {
    return Boolean(this.stream);
  }

  async start() {
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, facingMode: "user" }, audio: false });
    } catch {
      say(CAMERA, true);
      return false;
    }
    $("video").srcObject = this.stream;
    await $("video").play();
    this.frames(this.stream);
    return true;
  }

  stop(error) {
    if (!this.stream) return;
    this.stream.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.stopped(error);
  }

  async frames(stream) {
    const video = $("video");
    const tracks = new Tracks();
    let rate = 0;
    while (this.stream === stream) {
      const started = performance.now();
      const frame = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
      frame.getContext("2d").drawImage(video, 0, 0);
      const blob = await new Promise((done) => frame.toBlob(done, "image/jpeg", 0.85));
      const { answer, error } = await this.ask(new File([blob], "camera.jpg", { type: "image/jpeg" }));
      if (this.stream !== stream) return;
      if (error) return this.stop(error);
      const { faces, numbers } = tracks.follow(answer.faces);
      rate = 0.8 * rate + 0.2 * (1000 / (performance.now() - started));
      const seen = faces.map((face) => mirrored(face, answer.image.width));
      this.show({ image: frame, crops: flipped(frame), answer, faces: seen, numbers }, rate);
    }
  }
}

function flipped(frame) {
  const made = Object.assign(document.createElement("canvas"), { width: frame.width, height: frame.height });
  const pen = made.getContext("2d");
  pen.setTransform(-1, 0, 0, 1, frame.width, 0);
  pen.drawImage(frame, 0, 0);
  return made;
}
