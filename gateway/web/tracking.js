// Faces over the frames of a camera: each keeps its number, and its answers are means that follow slowly.
const FOLLOW = { box: 0.6, answer: 0.2 };
const SAME = 0.3;
const FORGET_MS = 700;

export class Tracks {
  constructor() {
    this.known = [];
    this.next = 0;
  }

  // Faces of one frame, smoothed, those with the lowest number first, and their numbers.
  follow(faces, now = performance.now()) {
    this.known = this.known.filter((track) => now - track.seen < FORGET_MS);
    const free = new Set(this.known);
    const current = faces.map((face) => {
      const track = [...free].map((one) => [overlap(one.face.box, face.box), one]).sort(([a], [b]) => b - a)[0];
      if (track?.[0] >= SAME) {
        free.delete(track[1]);
        return Object.assign(track[1], { face: mixed(track[1].face, face), seen: now });
      }
      const taken = new Set(this.known.map(({ number }) => number));
      let number = 0;
      while (taken.has(number)) number += 1;
      const fresh = { face, seen: now, number };
      this.known.push(fresh);
      return fresh;
    });
    current.sort((a, b) => a.number - b.number);
    return { faces: current.map(({ face }) => face), numbers: current.map(({ number }) => number) };
  }
}

export function overlap(a, b) {
  const wide = Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1);
  const tall = Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1);
  const common = Math.max(0, wide) * Math.max(0, tall);
  const area = ({ x1, y1, x2, y2 }) => (x2 - x1) * (y2 - y1);
  return common / (area(a) + area(b) - common);
}

const toward = (before, now, share) => {
  if (typeof now === "number") return typeof before === "number" ? before + (now - before) * share : now;
  return Object.fromEntries(Object.entries(now).map(([name, value]) => [name, typeof value === "number" ? toward(before?.[name], value, share) : value]));
};

function mixed(before, now) {
  const face = { ...now, box: toward(before.box, now.box, FOLLOW.box) };
  for (const name of ["confidence", "age", "beauty"]) if (now[name] !== undefined) face[name] = toward(before[name], now[name], FOLLOW.answer);
  if (now.quality) face.quality = toward(before.quality, now.quality, FOLLOW.answer);
  if (now.pose) face.pose = rounded(toward(before.pose, now.pose, 0.4));
  for (const [name, chosen] of [["emotion", "dominant"], ["race", "dominant"], ["glasses", "value"], ["mask", "value"]]) {
    if (!now[name]) continue;
    const probabilities = toward(before[name]?.probabilities, now[name].probabilities, FOLLOW.answer);
    face[name] = { [chosen]: Object.keys(probabilities).reduce((a, b) => (probabilities[b] > probabilities[a] ? b : a)), probabilities };
  }
  for (const name of ["gender", "hat"]) if (now[name]) face[name] = twoWay(before[name], now[name]);
  if (now.liveness) {
    const score = toward(before.liveness?.score, now.liveness.score, FOLLOW.answer);
    face.liveness = { score, is_real: score >= 0.5 };
  }
  return face;
}

// Of two labels only the winner's probability is known; the loser's is the rest.
function twoWay(before, now) {
  if (!before) return now;
  const previous = before.value === now.value ? before.probability : 1 - before.probability;
  const probability = toward(previous, now.probability, FOLLOW.answer);
  return probability >= 0.5 ? { value: now.value, probability } : { value: before.value, probability: 1 - probability };
}

const rounded = (values) => Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Math.round(value * 10) / 10]));

// A face as a mirror shows it.
export function mirrored(face, width) {
  const across = ([x, y]) => [width - x, y];
  const made = { ...face, box: { ...face.box, x1: width - face.box.x2, x2: width - face.box.x1 } };
  made.keypoints = Object.fromEntries(Object.entries(face.keypoints).map(([name, point]) => [name, across(point)]));
  if (face.landmarks) made.landmarks = face.landmarks.map(across);
  if (face.pupils) made.pupils = Object.fromEntries(Object.entries(face.pupils).map(([name, pupil]) => [name, { ...pupil, x: width - pupil.x }]));
  if (face.pose) made.pose = { yaw: -face.pose.yaw, pitch: face.pose.pitch, roll: -face.pose.roll };
  return made;
}
