# Answers streams and datagrams of both versions at a port: NAME, and what was said. Prints what was said.
use strict;
use Socket qw(:all);
use IO::Select;
$| = 1;
my ($name, $port) = @ARGV;
my $all = IO::Select->new;
my (%listens, %datagrams);
for my $family (AF_INET, AF_INET6) {
    for my $kind (SOCK_STREAM, SOCK_DGRAM) {
        socket(my $socket, $family, $kind, 0) or die $!;
        setsockopt($socket, IPPROTO_IPV6, IPV6_V6ONLY, 1) or die $! if $family == AF_INET6;
        setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1) or die $!;
        my $at = $family == AF_INET ? pack_sockaddr_in($port, INADDR_ANY) : pack_sockaddr_in6($port, IN6ADDR_ANY);
        bind($socket, $at) or die $!;
        if ($kind == SOCK_STREAM) { listen($socket, 99) or die $!; $listens{$socket} = 1 }
        else { $datagrams{$socket} = 1 }
        $all->add($socket);
    }
}
print "ready\n";
while (my @ready = $all->can_read) {
    for my $socket (@ready) {
        if ($listens{$socket}) { my $guest; $all->add($guest) if accept($guest, $socket); next }
        my $from = recv($socket, my $said, 4096, 0);
        if ($datagrams{$socket}) {
            next unless defined $from;
            print "$said\n";
            send($socket, "$name $said", 0, $from);
            next;
        }
        if (defined $from && length $said) { print "$said\n"; syswrite($socket, "$name $said") }
        $all->remove($socket);
        close($socket);
    }
}
