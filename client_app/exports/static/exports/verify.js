/** The page /verify: sends the chosen file as it is, and shows what the server found, in the server's words. */

const form = document.querySelector("#verify");
const input = form.querySelector("#file");
const drop = form.querySelector(".drop");
const progress = document.querySelector("#progress");
const result = document.querySelector("#result");
const preview = document.querySelector("#preview");
const verdict = document.querySelector("#verdict");
const sentences = document.querySelector("#sentences");

let latest = 0;
let address = null;

function removePreview() {
  preview.replaceChildren();
  if (address) URL.revokeObjectURL(address);
  address = null;
}

/** Show `file` beside its verdict, if this browser can; the blob's address lives as long as it is shown. */
function showPreview(file) {
  removePreview();
  const [kind] = file.type.split("/");
  if (kind !== "image" && kind !== "video") return;
  address = URL.createObjectURL(file);
  const view = document.createElement(kind === "video" ? "video" : "img");
  view.addEventListener("error", () => view.isConnected && removePreview());
  view.src = address;
  if (view instanceof HTMLVideoElement) {
    view.controls = true;
    view.muted = true;
  } else {
    view.alt = file.name;
  }
  preview.replaceChildren(view);
}

function showResult(kind, texts) {
  result.dataset.verdict = kind;
  verdict.textContent = verdict.dataset[kind];
  sentences.replaceChildren(
    ...texts.map((text) => Object.assign(document.createElement("li"), { textContent: text })),
  );
  progress.textContent = "";
  result.hidden = false;
  result.focus({ preventScroll: true });
  result.scrollIntoView({ block: "nearest" });
}

async function verify(file) {
  const turn = ++latest;
  result.hidden = true;
  showPreview(file);
  if (file.size > Number(form.dataset.mostBytes)) {
    showResult("error", [form.dataset.tooLarge]);
    return;
  }
  progress.textContent = progress.dataset.working;
  let found;
  try {
    const response = await fetch(form.dataset.address, {
      method: "POST",
      headers: {
        Accept: "application/json",
        "Content-Type": file.type || "application/octet-stream",
        "X-CSRFToken": form.querySelector("[name=csrfmiddlewaretoken]").value,
      },
      body: file,
    });
    found = await response.json();
  } catch {
    found = { error: { message: form.dataset.failed } };
  }
  if (turn !== latest) return; // another file was chosen meanwhile
  if (found.error) showResult("error", [found.error.message]);
  else showResult(found.verdict, found.sentences);
}

input.addEventListener("change", () => {
  if (input.files.length) verify(input.files[0]);
});

for (const name of ["dragover", "dragenter"]) {
  addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
for (const name of ["dragleave", "dragend"]) {
  addEventListener(name, () => drop.classList.remove("over"));
}
addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  if (event.dataTransfer?.files.length) verify(event.dataTransfer.files[0]);
});
form.addEventListener("submit", (event) => event.preventDefault());
