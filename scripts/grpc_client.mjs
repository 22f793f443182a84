// Analyse a photograph over gRPC with stubs generated from Triton's protocol: no gateway, no code of this project.
//
//     node grpc_client.mjs PHOTO [HOST:PORT]
//
// How ./generated is made: model_repository/README.md, which also documents the tensors.
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import sharp from "sharp";
import { GRPCInferenceService } from "./generated/grpc_service_pb.js";

const [photo, host = "127.0.0.1:8001"] = process.argv.slice(2);
const EXPRESSIONS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];
const OUTPUTS = ["NUM_FACES", "BOXES", "SCORES", "AGE", "GENDER", "EMOTION"];

// Upright, RGB, 8 bits.
const { data, info } = await sharp(photo).rotate().flatten({ background: "white" }).toColourspace("srgb").raw().toBuffer({ resolveWithObject: true });
const triton = createClient(GRPCInferenceService, createGrpcTransport({ baseUrl: `http://${host}` }));
const answer = await triton.modelInfer(
  {
    modelName: "face_analysis",
    inputs: [{ name: "IMAGE", datatype: "UINT8", shape: [1, info.height, info.width, 3].map(BigInt) }],
    rawInputContents: [data],
    outputs: OUTPUTS.map((name) => ({ name })),
  },
  { timeoutMs: 30_000 },
);

// Raw contents are little-endian and lie in the order of `outputs`, each in its own bytes.
const tensor = (name) => {
  const bytes = answer.rawOutputContents[answer.outputs.findIndex((output) => output.name === name)].slice();
  return new (name === "NUM_FACES" ? Int32Array : Float32Array)(bytes.buffer);
};
const [count] = tensor("NUM_FACES"); // rows beyond it are padding
const [boxes, scores, ages, genders, emotions] = OUTPUTS.slice(1).map(tensor);
console.log(`${count} face${count === 1 ? "" : "s"}`);
for (let row = 0; row < count; row++) {
  const [x1, y1, x2, y2] = boxes.slice(4 * row).map(Math.round);
  const [male, female] = genders.slice(2 * row);
  const expressions = emotions.slice(7 * row, 7 * row + 7);
  const strongest = expressions.indexOf(Math.max(...expressions));
  console.log(
    `box ${x1},${y1} to ${x2},${y2}  score ${scores[row].toFixed(2)}  age ${ages[row].toFixed(0)}` +
      `  ${male >= 0.5 ? "male" : "female"} ${Math.max(male, female).toFixed(2)}` +
      `  ${EXPRESSIONS[strongest]} ${expressions[strongest].toFixed(2)}`,
  );
}
