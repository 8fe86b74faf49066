"""The local stack put together: the deployed handlers, an embedded AWS, a gateway before them, a schedule behind.

Knows no HTTP server; `server` puts one in front of it.
"""

import os
import re
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from agent_sessions.api.edge import BASE_PATH, ERASURES_PATH
from agent_sessions.bootstrap import callers
from agent_sessions.bootstrap.wiring import Wiring, wire
from agent_sessions.errors import ServiceUnavailable
from agent_sessions.sessions.ids import is_session_id
from agent_sessions.settings import SessionSettings
from agent_sessions.wire_format import timestamp
from botocore.config import Config

from local import dynamodb_local
from local.agent import POLICY as AGENT_POLICY
from local.agent import LocalAgent, agent_at, echo
from local.aws import ACCOUNT, REGION, EmbeddedAws, forget_real_accounts
from local.calls import CallLog
from local.clock import MovableClock
from local.dynamo.client import MemoryDynamo
from local.dynamo.engine import Do, Request, Response
from local.events import EventInbox, QueueSubscription
from local.forward import Forwarder
from local.functions import FunctionLog, LambdaFunction, redirected_output
from local.gateway import Authorizer, Cors, Gateway, HttpAnswer, HttpRequest
from local.kept import KeptFolder
from local.options import Options
from local.play import Player
from local.queue import LocalQueue
from local.schedule import Move, Scheduler, Turnstile
from local.store import LocalStore
from local.stream import DynamoDbLocalStream, ReadStream, StreamMapping
from local.upcoming import Upcoming, next_event
from local.watch import SessionWatch
from template_reader import Deployment, Schedule, Template

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_sns import SNSClient
    from types_boto3_sqs import SQSClient

ROOT: Final = Path(__file__).resolve().parent.parent
LOG_DIR: Final = ROOT / ".cache" / "local"
DATA_DIR: Final = ROOT / ".cache" / "local" / "data"

TENANT: Final = "local"
_FUNCTIONS: Final = (
    "SessionApiFunction",
    "ExpirySweeperFunction",
    "ApiKeyAuthorizerFunction",
    "SessionMessagesFunction",
    "EraserFunction",
    "MessagePublisherFunction",
)
_SETTINGS: Final = ("SESSION_", "MESSAGES_PER_SESSION", "REPLY_WAIT_SECONDS", "REQUIRE_AGENT_POLICY", "EVENT_CONTENT")
"""How the variables begin that are taken from the environment."""
_CALLS_AT_A_TIME: Final = 16
_MESSAGES_AT_A_TIME: Final = 256
"""Calls of the messages' function, most of which may be waiting: they take no thread from the others."""
_TO_MESSAGES: Final = re.compile(rf"{re.escape(BASE_PATH)}/[^/]+/messages(/.*)?")


class LocalStack:
    """Everything behind the HTTP server. Use `running`, or `start` and `stop`."""

    def __init__(
        self,
        options: Options,
        *,
        log_file: Path = LOG_DIR / "functions.log",
        data_dir: Path = DATA_DIR,
        url: str | None = None,
    ) -> None:
        """Nothing runs before `start`. The agent and the endpoint that `options` name find the stack at `url`."""
        self.options = options
        self.key: str | None = None
        self.terminal: TextIO = sys.stdout
        self.log: FunctionLog
        self.stack_id = str(uuid.uuid4())
        self.settings: SessionSettings
        self.clock: MovableClock
        self.inbox: EventInbox
        self.watch: SessionWatch
        self.calls = CallLog()
        self.forwarder: Forwarder | None = None
        self._published: list[str] = []
        self.player = Player(self.advance)
        self.ending = threading.Event()
        self._url = url
        self._log_file = log_file
        self.data_dir = data_dir
        self._kept = None if options.store == "memory" else KeptFolder(data_dir)
        self._turnstile = Turnstile()
        self._gateway: Gateway
        self._scheduler: Scheduler
        self._store: LocalStore
        self._queue: LocalQueue
        self._stream: StreamMapping | None = None
        self._read_stream: Callable[[str], ReadStream]
        self._eraser: Callable[[dict[str, Any]], Any]
        self._callers: ThreadPoolExecutor
        self._talkers: ThreadPoolExecutor
        self._cleanup = ExitStack()

    @contextmanager
    def running(self) -> Iterator["LocalStack"]:
        """Start, and stop at the end of the block."""
        try:
            self.start()
            yield self
        finally:
            self.stop()

    def start(self) -> None:
        """Start all parts.

        Raises:
            SettingsError: settings from the environment contradict one another.
            DynamoDbLocalError: DynamoDB Local cannot be had.
            KeptDataError: another stack uses the kept data, or the clock beside them is damaged.
            FilterPolicyError: SNS does not take the filter policy of the options.
            OtherSchemaError: the kept tables are not those of the template.

        """
        self._cleanup.callback(_restore_environment, dict(os.environ))
        template = _template_with_settings(os.environ)
        if self._kept is not None:
            self._cleanup.enter_context(self._kept.locked())
        self.clock = MovableClock(offset_ms=0 if self._kept is None else self._kept.offset_ms())
        forget_real_accounts()
        os.environ.pop("AWS_LAMBDA_RUNTIME_API", None)
        self.log = self._cleanup.enter_context(redirected_output(self._log_file))
        aws = self._cleanup.enter_context(EmbeddedAws())
        dynamodb = self._dynamodb()
        sns = aws.sns()
        topic_arn = sns.create_topic(Name="local-SessionEventsTopic")["TopicArn"]
        sqs = aws.sqs()
        dead_letters = sqs.create_queue(QueueName="local-MessagePublisherDeadLetterQueue")["QueueUrl"]
        tables = {name: f"local-{name}" for name in template.tables()}
        template = template.for_deployment(
            Deployment(
                parameters=template.deployment.parameters,
                resources=tables | {"SessionEventsTopic": topic_arn, "MessagePublisherDeadLetterQueue": dead_letters},
                region=REGION,
                account=ACCOUNT,
            )
        )
        environ = _environment(template)
        os.environ |= {name: value for name, value in environ.items() if name.startswith("POWERTOOLS_")}
        self._queue = LocalQueue(environ["ERASER_QUEUE_URL"], self.clock, self._report_failure, others=sqs)
        self._eraser = _function(template, "EraserFunction")
        wire(
            Wiring(
                environ=environ,
                clock=_CallersClock(self.clock, self._turnstile, self.ending),
                clients={"dynamodb": dynamodb, "sns": sns, "sqs": self._queue},
            )
        )
        store = LocalStore(dynamodb, tables, due_shards=int(environ["DUE_SHARDS"]))
        store.create_missing(template)
        self._store = store
        self.watch = SessionWatch(store.read, self.clock)
        self.inbox = EventInbox(sns, sqs, topic_arn, self._take_event)
        if self._url is not None:
            self._subscribe_others(sns, sqs, topic_arn, self._url)
        self._start_stream(template, tables)
        if self._kept is not None:
            self.watch.touch(store.session_ids())
        # Settings that contradict one another are refused now, not at the first request.
        self.settings = SessionSettings.from_env(environ)
        self._callers = ThreadPoolExecutor(_CALLS_AT_A_TIME, thread_name_prefix="api")
        self._cleanup.callback(self._callers.shutdown, cancel_futures=True)
        self._talkers = ThreadPoolExecutor(_MESSAGES_AT_A_TIME, thread_name_prefix="messages")
        self._cleanup.callback(self._talkers.shutdown, cancel_futures=True)
        self._gateway = self._make_gateway(template)
        self._scheduler = Scheduler(
            sweeper=_function(template, "ExpirySweeperFunction"),
            rules=_counted_at_every_sweep(template.schedules("ExpirySweeperFunction")),
            clock=self.clock,
            next_due_ms=store.next_due_ms,
            look_ahead_ms=int(environ["SWEEP_LOOK_AHEAD_SECONDS"]) * 1000,
            before_move=self._publish_messages,
            after_run=self._after_run,
            on_failure=self._report_failure,
            turnstile=self._turnstile,
        )
        self._scheduler.start()
        self._cleanup.callback(self._scheduler.stop)
        self._cleanup.callback(self.player.stop)

    def stop(self) -> None:
        """Stop all parts, in the opposite order."""
        self.ending.set()
        self._cleanup.close()

    def callers(self, path: str) -> ThreadPoolExecutor:
        """Where calls of `answer` for this path belong."""
        return self._talkers if _TO_MESSAGES.fullmatch(path) else self._callers

    @property
    def scheduler(self) -> Scheduler:
        """What runs the sweeper."""
        return self._scheduler

    def answer(self, request: HttpRequest) -> HttpAnswer:
        """Answer a request to the API."""
        with self._turnstile.shared():
            at_ms = self.clock.now_ms()
            answer = self._gateway.answer(request)
            at = timestamp(self.clock.now_ms())[11:19]
        if request.method not in {"GET", "HEAD", "OPTIONS"}:
            named = _sessions_named_by(request, answer)
            self.watch.touch(named)
            route = request.path.removeprefix(BASE_PATH).removeprefix(f"/{named[0]}" if named else "")
            self.calls.add(at_ms, request.method, route or "/", named[0] if named else None, answer)
        if request.path.startswith(ERASURES_PATH):
            self.watch.touch_all()
        self.show(f"  {at}  {request.method:<6} {request.path}  {answer.status}")
        return answer

    def advance(self, by_ms: int) -> Move:
        """Move the clock."""
        move = self._scheduler.advance(by_ms)
        self._keep_offset()
        return move

    def advance_to(self, moment_ms: int) -> Move:
        """Move the clock to a moment."""
        move = self._scheduler.advance_to(moment_ms)
        self._keep_offset()
        return move

    def advance_to_event(self) -> Move:
        """Move the clock to the next event."""
        move = self._scheduler.advance_to_event()
        self._keep_offset()
        return move

    def upcoming(self) -> Upcoming | None:
        """What is published next if nobody calls until then."""
        look_ahead_ms = self._scheduler.look_ahead_ms
        first_minute_ms = self._scheduler.next_minute_ms
        return next_event(self._store.due(), first_minute_ms=first_minute_ms, look_ahead_ms=look_ahead_ms)

    def sweep(self) -> Any:
        """Sweep now."""
        return self._scheduler.sweep()

    def show(self, line: str) -> None:
        """Show a line in the terminal, as long as somebody reads there."""
        try:
            print(line, file=self.terminal, flush=True)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.terminal.fileno())
            os.close(nowhere)

    def _make_gateway(self, template: Template) -> Gateway:
        cors = template.for_deployment(
            Deployment(parameters={"CorsAllowOrigins": "*"})  # a front end on any port of this machine
        ).property_of("SessionsHttpApi", "CorsConfiguration")
        authorizer = None
        if self.options.auth:
            authorizer = Authorizer(
                function=_function(template, "ApiKeyAuthorizerFunction"),
                header=_header_of(template.property_of("ApiKeyAuthorizer", "IdentitySource")[0]),
                remembered_ms=int(template.property_of("ApiKeyAuthorizer", "AuthorizerResultTtlInSeconds")) * 1000,
            )
            self.key = callers.api_keys().create(TENANT, "make run").text
        messages = _function(template, "SessionMessagesFunction")
        return Gateway(
            _function(template, "SessionApiFunction"),
            clock=self.clock,
            health_path=f"{BASE_PATH}/health",
            cors=Cors.from_properties(cors),
            authorizer=authorizer,
            tenant_id=TENANT,
            on_failure=self._report_failure,
            others={route.key: messages for route in template.routes() if route.function == "SessionMessagesFunction"},
        )

    def _dynamodb(self) -> "DynamoDBClient":
        if self._kept is None:
            memory = _HeardDynamo(self.clock, self._wake_stream)
            self._read_stream = lambda table: partial(memory.stream_records, table)
            return memory.as_client()
        server = dynamodb_local.DynamoDbLocal(data_dir=self.data_dir, access_key=self._kept.access_key())
        self._cleanup.enter_context(server)
        client: DynamoDBClient = server.client(Config(parameter_validation=True))
        for operation in ("PutItem", "BatchWriteItem", "TransactWriteItems"):
            client.meta.events.register(f"after-call.dynamodb.{operation}", self._wake_stream)

        def read_stream(table: str) -> ReadStream:
            arn = client.describe_table(TableName=table)["Table"]["LatestStreamArn"]
            return DynamoDbLocalStream(server.streams(), arn, lambda: self.clock.offset_ms)

        self._read_stream = read_stream
        return client

    def _start_stream(self, template: Template, tables: Mapping[str, str]) -> None:
        (source,) = template.streams("MessagePublisherFunction")
        kept = self._kept
        self._stream = StreamMapping(
            source,
            self._read_stream(tables[source.table]),
            _function(template, "MessagePublisherFunction"),
            position=kept.stream_position() if kept else None,
            keep_position=kept.keep_stream_position if kept else lambda _: None,
            on_failure=self._report_failure,
        )
        self._stream.start()
        self._cleanup.callback(self._stream.stop)

    def _subscribe_others(self, sns: "SNSClient", sqs: "SQSClient", topic_arn: str, url: str) -> None:
        """Subscribe the agent, and the endpoint that events are forwarded to."""
        if self.options.agent != "none":
            respond = echo if self.options.agent == "echo" else agent_at(self.options.agent)
            key = callers.api_keys().create(TENANT, "AGENT", scope="agent").text if self.options.auth else None
            agent = LocalAgent(respond, url, key, self.show)
            self._cleanup.callback(agent.stop)
            QueueSubscription(sns, sqs, topic_arn, "agent", agent.take).filter(AGENT_POLICY)
        if self.options.forward_to is not None:
            self.forwarder = Forwarder(self.options.forward_to, url, topic_arn, self.show)
            self._cleanup.callback(self.forwarder.stop)
            subscription = QueueSubscription(sns, sqs, topic_arn, "forward", self.forwarder.take, raw=False)
            subscription.filter(self.options.forward_filter)
            self.forwarder.confirm()

    def _wake_stream(self, **_: object) -> None:
        if self._stream is not None:
            self._stream.wake()

    def _publish_messages(self) -> None:
        if self._stream is not None:
            self._stream.deliver()

    def _take_event(self, event: dict[str, Any]) -> None:
        self.watch.touch([event["subject"]])
        self._published.append(event["subject"])
        kind = event["type"].removeprefix("agent-sessions.").removeprefix("session.")
        if "message" in event["data"]:
            message = event["data"]["message"]
            kind += f" ({message['role']}, {message['sequence']})"
        self.show(f"  {event['time'][11:19]}  event  {kind} {event['subject']}")

    def _report_failure(self, failure: BaseException) -> None:
        self.show(f"  a function failed: {type(failure).__name__}: {failure}  (its log is in {self.log.path})")

    def _after_run(self) -> None:
        self._queue.deliver(self._eraser)
        self.inbox.collect()
        # A sweep publishes first and marks the session afterwards: the page is to see both.
        self.watch.touch(self._published)
        self._published = []
        self._keep_offset()

    def _keep_offset(self) -> None:
        if self._kept is not None:
            self._kept.keep_offset(self.clock.offset_ms)


class _HeardDynamo(MemoryDynamo):
    """DynamoDB in memory, which calls `heard` after each write that may have made a new item."""

    def __init__(self, clock: MovableClock, heard: Callable[[], object]) -> None:
        super().__init__(clock)
        self._heard = heard

    def _answer(self, name: str, request: Request, do: Do) -> Response:
        answer = super()._answer(name, request, do)
        if name in {"put_item", "batch_write_item", "transact_write_items"}:
            self._heard()
        return answer


class _CallersClock:
    """The stack's clock, for the functions: a caller who sleeps stands in nobody's way while the clock is moved."""

    def __init__(self, clock: MovableClock, turnstile: Turnstile, ending: threading.Event) -> None:
        self._clock = clock
        self._turnstile = turnstile
        self._ending = ending

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def sleep(self, seconds: float) -> None:
        if not self._turnstile.is_inside:  # the sweeper, for whom the clock may be held
            self._clock.sleep(seconds)
            return
        with self._turnstile.outside():
            if self._ending.wait(seconds):
                raise ServiceUnavailable


def _counted_at_every_sweep(rules: Iterable[Schedule]) -> list[Schedule]:
    """The rules of the template, with the gauge counted after each sweep: on one machine a count costs nothing."""
    by_interval = sorted(rules, key=lambda rule: rule.every_minutes)
    return [rule._replace(every_minutes=by_interval[0].every_minutes) for rule in by_interval]


def _template_with_settings(environ: Mapping[str, str]) -> Template:
    """The template, with the settings of the environment in place of its defaults."""
    template = Template()
    # Amazon's certificates come with the built layer, and are for Amazon's own addresses.
    parameters = {"AmazonCaBundle": "off"}
    for function in _FUNCTIONS:
        for variable, parameter in template.parameter_of(function).items():
            if variable.startswith(_SETTINGS) and environ.get(variable):
                parameters[parameter] = environ[variable]
    return template.for_deployment(Deployment(parameters=parameters))


def _restore_environment(before: Mapping[str, str]) -> None:
    """Powertools and boto3 read the process's environment, which this stack has changed."""
    os.environ.clear()
    os.environ.update(before)


def _environment(template: Template) -> dict[str, str]:
    """What the functions find in their environments, in one: where two have a variable, they agree on it."""
    together: dict[str, str] = {}
    for function in _FUNCTIONS:
        for name, value in template.environment(function).items():
            if together.setdefault(name, value) != value:
                message = f"the functions of {template.path.name} do not agree on {name}"
                raise ValueError(message)
    return together


def _function(template: Template, logical_id: str) -> Callable[[dict[str, Any]], Any]:
    """The handler behind a function of the template: SessionApiFunction is functions/session_api."""
    folder = re.sub(r"(?<!^)(?=[A-Z])", "_", logical_id.removesuffix("Function")).lower()
    return LambdaFunction(folder, timeout_seconds=int(template.property_of(logical_id, "Timeout")))


def _header_of(identity_source: str) -> str:
    """`$request.header.X-API-KEY` names the header x-api-key."""
    return identity_source.removeprefix("$request.header.").lower()


def _sessions_named_by(request: HttpRequest, answer: HttpAnswer) -> list[str]:
    """The session that a request was about: named by its path or, where it is new, by the answer."""
    location = next((value for name, value in answer.headers if name == "location"), "")
    named = (location or request.path).removeprefix(f"{BASE_PATH}/").split("/")[0]
    return [named] if is_session_id(named) else []
