// What went wrong, in words for a person.

// What is wrong with a file: the sentence begins with its name.
const FILE = {
  body_too_large: "is a larger file than this server takes. Save it smaller, and try again.",
  image_too_large: "has more pixels than this server takes. Scale it down, and try again.",
  image_too_small: "is too small to show a face.",
  unrecognised_image: "is not a picture that this server can read. JPEG and PNG always work.",
  unsupported_image: "is a kind of picture that this server does not take. JPEG and PNG always work.",
  undecodable_image: "is damaged or incomplete: the server cannot read it.",
  image_too_complex: "takes this server too long to read. Save it anew, and try again.",
  empty_image: "has nothing in it.",
};
const SERVER = {
  key_missing: "This server wants a key: enter it in the field Key. Whoever runs the server issues keys.",
  key_invalid: "The server does not know this key. Check the field Key.",
  rate_limited: "That was too many pictures in too short a time for this key. Wait a moment, and try again.",
  quota_exceeded: "The calls of this key are used up for this month.",
  upstream_unavailable: "The models are not ready yet. Try again in a moment.",
  upstream_overloaded: "The server is busy. Try again in a moment.",
  overloaded: "The server is busy. Try again in a moment.",
  upload_too_slow: "Sending the picture took too long. Try again, or a smaller picture.",
  upstream_timeout: "The server was too slow. Try again, or a smaller picture.",
};

export const UNREACHED = "The server cannot be reached. Is it still running?";
export const CAMERA = "The camera cannot be used. Allow it in the browser; browsers offer it only on https:// pages and on the machine itself.";
export const NO_FACE = "No face found. Small, covered and turned-away faces can be missed.";
export const EMPTY = { code: "empty_image" };
export const WANTS_KEY = new Set(["key_missing", "key_invalid", "account_suspended"]);

export const problem = (json, name) => (FILE[json.code] ? `${name} ${FILE[json.code]}` : SERVER[json.code] || json.title || "The server could not answer.");
export const count = (n) => (n === 0 ? "No face found." : n === 1 ? "1 face found." : `${n} faces found.`);
