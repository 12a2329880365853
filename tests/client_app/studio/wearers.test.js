/** wearers.js without a page: who has a chip, who wears what. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Wearers } from "../../../client_app/facedetect/static/studio/wearers.js";

const faces = (...numbers) => numbers.map((number) => ({ number, box: [100 * number, 0, 10, 10] }));

test("a person alone has no chip", () => {
  const wearers = new Wearers();
  wearers.see(faces(1), 0);
  assert.deepEqual(wearers.numbers, []);
});

test("two have, and the chips change only when somebody comes or goes", () => {
  const wearers = new Wearers();
  assert.equal(wearers.see(faces(2, 1), 0), true);
  assert.deepEqual(wearers.numbers, [1, 2]);
  assert.equal(wearers.first, 2);
  assert.equal(wearers.see(faces(2, 1), 100), false);
  assert.equal(wearers.see(faces(2), 1000), false);
  assert.equal(wearers.see(faces(2), 3200), true);
  assert.deepEqual(wearers.numbers, []);
});

test("an identity goes to the chosen face, and to nobody while everybody is chosen", () => {
  const wearers = new Wearers();
  wearers.see(faces(1, 2), 0);
  wearers.dress("p3");
  assert.equal(wearers.identities, undefined);
  wearers.chosen = 2;
  wearers.dress("p3");
  assert.deepEqual([wearers.identities, wearers.all], [{ 2: "p3" }, true]);
  assert.equal(wearers.identityOf(1), undefined);
  wearers.undress();
  assert.deepEqual([wearers.identities, wearers.all], [undefined, true]);
});

test("who was dressed keeps the chip while away, so that it can be undone", () => {
  const wearers = new Wearers();
  wearers.see(faces(1, 2), 0);
  wearers.chosen = 2;
  wearers.dress("p3");
  wearers.see(faces(1), 9000);
  assert.deepEqual([wearers.numbers, wearers.chosen], [[1, 2], 2]);
});

test("a chosen face that left is chosen no more", () => {
  const wearers = new Wearers();
  wearers.see(faces(1, 2, 3), 0);
  wearers.chosen = 3;
  assert.equal(wearers.see(faces(1, 2), 9000), true);
  assert.equal(wearers.chosen, 0);
});

test("numbers that no face can have are not believed", () => {
  const wearers = new Wearers();
  wearers.see(faces(0, 5, undefined, 1), 0);
  assert.deepEqual(wearers.numbers, []);
});

test("another session knows nothing of it", () => {
  const wearers = new Wearers();
  wearers.see(faces(1, 2), 0);
  wearers.chosen = 1;
  wearers.dress("p2");
  wearers.forget();
  assert.deepEqual([wearers.numbers, wearers.identities, wearers.chosen, wearers.all], [[], undefined, 0, false]);
});

test("labels count from the left of the screen, whichever way the picture is turned, and stay", () => {
  const wearers = new Wearers();
  const mirrored = (left, right) => [
    { number: 1, box: [right, 0, 10, 10] },
    { number: 2, box: [left, 0, 10, 10] },
  ];
  wearers.see(mirrored(40, 300), 0);
  assert.deepEqual(wearers.numbers, [2, 1]);
  assert.deepEqual([2, 1].map((number) => wearers.labelOf(number)), [1, 2]);
  assert.equal(wearers.see(mirrored(300, 40), 100), false, "they changed places, and keep their labels");
  wearers.mirror();
  assert.equal(wearers.see(mirrored(300, 40), 200), true);
  assert.deepEqual(wearers.numbers, [1, 2]);
});

test("a label that became free goes to who comes next, and one with an identity of its own is kept", () => {
  const wearers = new Wearers();
  wearers.see([{ number: 1, box: [300, 0, 10, 10] }, { number: 2, box: [40, 0, 10, 10] }], 0);
  wearers.chosen = 1;
  wearers.dress("p3");
  wearers.see([{ number: 3, box: [500, 0, 10, 10] }], 5000);
  assert.deepEqual([wearers.labelOf(1), wearers.labelOf(3)], [2, 1]);
});
