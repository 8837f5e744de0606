"""Who a client is, as the workload draws it: all that is fixed for a run."""

from dataclasses import dataclass, field
from typing import Final, final

from quantum.core.mqtt.packets import QOS_1, Subscription

NEVER_S: Final = 0xFFFFFFFF


@final
@dataclass(slots=True, eq=False)
class ClientPlan:
    """Who a client is; drawn by the workload."""

    number: int
    client_id: str
    version: int
    is_persistent: bool
    expiry_s: int  # of the session, for persistent ones; NEVER_S does not end
    keep_alive_s: int
    receive_maximum: int
    share_group: str
    subscriptions: list[Subscription]
    topics: list[str]  # it publishes to
    retained_topics: list[str]  # it publishes to with RETAIN
    has_will: bool
    will_delay_s: int
    qos_weights: list[int]
    action_weights: list[int]
    think_us_max: int
    ack_delay_share: int  # of 100 ticks, on how many acknowledgements wait for the next
    window: int  # exchanges it keeps open
    expiry_share: int  # of 100 publications of a 5.0 client, how many have a Message Expiry Interval
    payload_bytes_max: int
    subscription_ids: list[int] = field(default_factory=list)  # of each subscription, 0 for none
    packet_bytes_max: int = 0  # its Maximum Packet Size, 0 for none
    alias_max: int = 0  # Topic Aliases it takes
    alias_share: int = 0  # of 100 publications of a 5.0 client, how many use one
    properties_share: int = 0  # of 100 publications of a 5.0 client, how many have properties that are forwarded
    retained_share: int = 33  # of 100 publications of a client with retained topics
    will_qos: int = QOS_1
    is_will_retained: bool = False
