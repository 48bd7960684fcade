# SPDX-License-Identifier: Apache-2.0
"""What the tutorial "Local mail relay with Postfix" types, step by step, with its blanks filled:
the lines EOF, the addresses, the lists. Each step is a text for the shell; white space at line ends
is the tutorial's own. The heredocs are quoted ('EOF') here, because a shell would put its own
$myhostname and ${1} into the files; what becomes of that is tested, too."""

BASE_MAIN = r"""
cat << 'EOF' > /etc/postfix/main.cf
smtpd_banner = $myhostname ESMTP $mail_name  
biff = no  
append_dot_mydomain = no  
mynetworks = /etc/postfix/mynetworks  
recipient_delimiter = +  
inet_interfaces = 127.0.0.1, 192.0.2.10  
mail_owner = postfix  
queue_directory = /var/spool/postfix  
data_directory = /var/lib/postfix  
bounce_queue_lifetime = 12h  
smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination  
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination  
EOF
"""

BASE_NETWORKS = r"""
cat << 'EOF' > /etc/postfix/mynetworks  
127.0.0.0/8  
EOF
"""

BASE_MASTER = r"""
cat << 'EOF' > /etc/postfix/master.cf  
smtp      inet  n       -       n       -       -       smtpd  
pickup    fifo  n       -       n       60      1       pickup  
cleanup   unix  n       -       n       -       0       cleanup  
qmgr      fifo  n       -       n       300     1       qmgr  
tlsmgr    unix  -       -       n       1000?   1       tlsmgr  
rewrite   unix  -       -       n       -       -       trivial-rewrite  
bounce    unix  -       -       n       -       0       bounce  
defer     unix  -       -       n       -       0       bounce  
trace     unix  -       -       n       -       0       bounce  
verify    unix  -       -       n       -       1       verify  
flush     unix  n       -       n       1000?   0       flush  
proxymap  unix  -       -       n       -       -       proxymap  
proxywrite unix -       -       n       -       1       proxymap  
smtp      unix  -       -       n       -       -       smtp  
relay     unix  -       -       n       -       -       smtp  
        -o smtp_fallback_relay=
showq     unix  n       -       n       -       -       showq  
error     unix  -       -       n       -       -       error  
retry     unix  -       -       n       -       -       error  
discard   unix  -       -       n       -       -       discard  
local     unix  -       n       n       -       -       local  
virtual   unix  -       n       n       -       -       virtual  
lmtp      unix  -       -       n       -       -       lmtp  
anvil     unix  -       -       n       -       1       anvil  
scache    unix  -       -       n       -       1       scache  
EOF
"""

START = "service postfix restart  "

TLS = r"""
cat << 'EOF' >> /etc/postfix/main.cf  
smtpd_tls_auth_only = yes  
smtp_use_tls = yes  
smtpd_use_tls = yes  
smtp_tls_note_starttls_offer = yes  
smtpd_tls_key_file = /etc/postfix/ssl/smtpd.key  
smtpd_tls_cert_file = /etc/postfix/ssl/smtpd.crt  
smtpd_tls_CAfile = /etc/postfix/ssl/cacert.pem  
smtpd_tls_CApath = /etc/pki/tls/certs  
smtpd_tls_loglevel = 1 # be more verbose  
smtpd_tls_received_header = yes  
smtpd_tls_session_cache_timeout = 3600s  
EOF
"""

# "Do not forget to got valid key-cert files in right locations!"
TLS_FILES = r"""
mkdir -p /etc/postfix/ssl && cd /etc/postfix/ssl &&
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 \
    -subj /CN=relay.zombig.name -keyout smtpd.key -out smtpd.crt 2>/dev/null &&
cp smtpd.crt cacert.pem && chmod 600 smtpd.key
"""

TRANSPORT = r"""
cat << 'EOF' >> /etc/postfix/master.cf  
out_default       unix -       -       n       -       -       smtp  
  -o smtp_bind_address=198.51.100.10
  -o smtp_helo_name=relay.zombig.name
  -o syslog_name=relay-zombig-name
EOF
service postfix restart  
cat << 'EOF' > /etc/postfix/transport_maps  
* out_default:  
EOF
postmap hash:/etc/postfix/transport_maps  
cat << 'EOF' >> /etc/postfix/main.cf  
transport_maps = hash:/etc/postfix/transport_maps  
EOF
service postfix restart  
"""

SENDERS = r"""
cat << 'EOF' > /etc/postfix/sender_dependet_transpors  
@zombig.name zombig_name  
EOF
postmap hash:/etc/postfix/sender_dependet_transpors  
cat << 'EOF' >> /etc/postfix/main.cf  
sender_dependent_default_transport_maps = hash:/etc/postfix/sender_transport_maps  
EOF
cat << 'EOF' >> /etc/postfix/master.cf  
zombig_name       unix -       -       n       -       -       smtp  
  -o smtp_bind_address=192.0.2.10
  -o smtp_helo_name=relay.zombig.name
  -o syslog_name=relay-zombig-name
EOF
service postfix restart  
"""

RATE = r"""
cat << 'EOF' >> /etc/postfix/master.cf  
qq_com_limit       unix -       -       n       -       -       smtp  
EOF
cat << 'EOF' >> /etc/postfix/transport_maps  
qq.com qq_com_limit:  
EOF
postmap hash:/etc/postfix/transport_maps  
cat << 'EOF' >> /etc/postfix/main.cf  
qq_com_limit_destination_concurrency_limit = 2  
qq_com_limit_destination_rate_delay = 10s  
qq_com_limit_destination_recipient_limit = 3  
EOF
service postfix restart  
"""

DEFAULT_RATE = r"""
cat << 'EOF' >> /etc/postfix/main.cf  
default_destination_concurrency_limit = 20  
default_destination_rate_delay = 1  
default_extra_recipient_limit = 50  
initial_destination_concurrency = 3  
EOF
service postfix restart  
"""

HEADERS = r"""
cat << 'EOF' > /etc/postfix/header_checks  
# Our clients must specify realy FQDN names. Ignore if not!
/.*localhost.*/ IGNORE
# Hide our SSO real IP address
/^(Received: from) sso-api-[\d\.\w]+ \([\w\-\.\d]+ \[[\d\.]+\]\)(.*)$/ REPLACE ${1} login.zombig.name (unknown [unknown]) ${2}
EOF
cat << 'EOF' >> /etc/postfix/main.cf  
header_checks = pcre:/etc/postfix/header_checks  
EOF
service postfix restart  
"""

DEBUGGING = r"""
cat << 'EOF' > /etc/postfix/debug_peer_list  
203.0.113.31  
EOF
cat << 'EOF' >> /etc/postfix/main.cf  
debug_peer_level = 2  
debug_peer_list = /etc/postfix/debug_peer_list  
EOF
service postfix restart  
"""

MAIL = ("echo \"This is test mail. Please ignore it. If you got this message then you relay server "
        "works fine!\" | mail -s 'Relay Service Test message' -r testing@zombig.name {recipient}")

LIST = "mailq -bp"
DELETE_ALL_DEFERRED = "postsuper -d ALL deferred"
DELETE_BY_REASON = ("mailq -bp | grep '{reason}' -B1 | grep -E '^[0-9A-Z]' | cut -d' ' -f1 | "
                    "postsuper -d -")
STATISTICS = "pflogsumm /var/log/maillog"

# "Enable remote asscess": "add remote server into mynetworks file"
REMOTE = "echo 203.0.113.77 >> /etc/postfix/mynetworks"

# What `postfix check` says to do about the contradictions, done.
CURE = r"""
sed -i '/^\*/d' /etc/postfix/transport_maps && postmap hash:/etc/postfix/transport_maps &&
postconf -e 'default_transport = out_default' \
    'sender_dependent_default_transport_maps = hash:/etc/postfix/sender_dependet_transpors' \
    'smtpd_tls_loglevel = 1' &&
sed -i 's|^/\.\*localhost\.\*/|/^X-Originating-Host:.*localhost/|' /etc/postfix/header_checks &&
sed -i 's|syslog_name=relay-zombig-name|syslog_name=postfix/relay-zombig-name|' \
    /etc/postfix/master.cf &&
postconf -X default_destination_concurrency_limit initial_destination_concurrency \
    qq_com_limit_destination_concurrency_limit &&
postconf -e 'qq_com_limit_destination_concurrency_failed_cohort_limit = 10' \
    'default_destination_concurrency_failed_cohort_limit = 10' &&
newaliases &&
service postfix restart
"""
