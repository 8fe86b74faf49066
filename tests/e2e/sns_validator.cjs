// Checks envelopes with AWS's own validator: a line of JSON in, "valid" or the validator's complaint out.
// It takes certificates from SNS by HTTPS alone. Here the host is allowed, and the connection goes to the local stack.

const [, , validatorFile, stackUrl] = process.argv;
const https = require("node:https");
const http = require("node:http");
https.get = (url, take) => http.get(url.replace("https://", "http://"), take);
const MessageValidator = require(validatorFile);
const validator = new MessageValidator(new RegExp(`^${stackUrl.replace("http://", "").replaceAll(".", "\\.")}$`));

require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const envelope = JSON.parse(line);
  envelope.SigningCertURL = envelope.SigningCertURL.replace("http://", "https://");
  validator.validate(envelope, (error) => console.log(error ? error.message : "valid"));
});
