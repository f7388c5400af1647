// The page's side of latency.py: draws numbered pictures, sends them, notes when each is back.
async ([token, style, side]) => {
  const BITS = 16, CELL = side / BITS, KEPT = 300;
  const drawn = new Map(); // number → when
  let shown = []; // of each picture: drawn, last packet back, displayed
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const pen = canvas.getContext("2d", { alpha: false });
  let number = 0;
  const draw = () => {
    number = (number + 1) % 65536;
    pen.fillStyle = `hsl(${number % 360} 40% 45%)`;
    pen.fillRect(0, 0, side, side);
    pen.fillStyle = "#ddd";
    pen.beginPath();
    pen.arc(side / 2 + 90 * Math.sin(number / 20), side * 0.6, 80, 0, 7);
    pen.fill();
    for (let bit = 0; bit < BITS; bit++) {
      pen.fillStyle = (number >> bit) & 1 ? "#eee" : "#111";
      pen.fillRect(bit * CELL, 0, CELL, 2 * CELL);
    }
    drawn.set(number, performance.now());
    drawn.delete((number + 65536 - KEPT) % 65536);
  };
  const clock = setInterval(draw, 1000 / 30);
  const video = document.createElement("video");
  video.muted = true;
  video.width = video.height = side;
  document.body.append(canvas, video);
  const probe = document.createElement("canvas");
  probe.width = BITS;
  probe.height = 1;
  const reader = probe.getContext("2d", { willReadFrequently: true });
  const read = (now, frame) => {
    video.requestVideoFrameCallback(read);
    const cell = frame.width / BITS;
    reader.drawImage(video, 0, cell * 0.6, frame.width, cell * 0.8, 0, 0, BITS, 1);
    const levels = reader.getImageData(0, 0, BITS, 1).data;
    let found = 0;
    for (let bit = 0; bit < BITS; bit++) if (levels[4 * bit + 1] > 128) found |= 1 << bit;
    if (!drawn.has(found)) return;
    shown.push([drawn.get(found), frame.receiveTime ?? now, frame.expectedDisplayTime]);
  };
  const connection = new RTCPeerConnection();
  connection.createDataChannel("control");
  connection.ontrack = ({ track }) => {
    video.srcObject = new MediaStream([track]);
    video.requestVideoFrameCallback(read);
    video.play();
  };
  const counters = async () => {
    const sums = { encode: 0, encoded: 0, decode: 0, decoded: 0, buffer: 0, emitted: 0, trip: 0 };
    for (const one of (await connection.getStats()).values()) {
      if (one.type === "outbound-rtp" && one.kind === "video") {
        sums.encode = one.totalEncodeTime;
        sums.encoded = one.framesEncoded;
      } else if (one.type === "inbound-rtp" && one.kind === "video") {
        sums.decode = one.totalDecodeTime;
        sums.decoded = one.framesDecoded;
        sums.buffer = one.jitterBufferDelay;
        sums.emitted = one.jitterBufferEmittedCount;
      } else if (one.type === "candidate-pair" && one.nominated) {
        sums.trip = one.currentRoundTripTime ?? 0;
      }
    }
    return sums;
  };
  draw();
  connection.addTrack(canvas.captureStream(30).getVideoTracks()[0]);
  await connection.setLocalDescription(await connection.createOffer());
  while (connection.iceGatheringState !== "complete")
    await new Promise((resolve) => setTimeout(resolve, 20));
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const body = JSON.stringify({ sdp: connection.localDescription.sdp, type: "offer", style });
  const answer = await fetch("/api/sessions", { method: "POST", headers, body });
  const told = await answer.json();
  if (answer.status !== 201) return { refused: told.detail };
  await connection.setRemoteDescription({ type: "answer", sdp: told.sdp });
  let before = await counters();
  window.measured = {
    restart: async () => {
      before = await counters();
      shown = [];
    },
    stop: async () => {
      const found = shown;
      const now = await counters();
      const mean = (total, count) =>
        now[count] > before[count]
          ? (1000 * (now[total] - before[total])) / (now[count] - before[count])
          : 0;
      const means = {
        encode: mean("encode", "encoded"),
        decode: mean("decode", "decoded"),
        buffer: mean("buffer", "emitted"),
        round_trip: 1000 * now.trip,
      };
      return { shown: found, means };
    },
    end: async () => {
      clearInterval(clock);
      await fetch(`/api/sessions/${told.id}`, { method: "DELETE", headers });
      connection.close();
    },
  };
  return { id: told.id };
};
